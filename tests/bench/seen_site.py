"""A gateway with tenants whose pages are looked at by their owner, and how long they take."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench.configuration import write_config
from bench.gateways import lmaas_command
from bench.processes import Process, ServerError, free_port, serving, wait_until
from bench.running import GATEWAY_CORE, answers

MODELS = ("mock", "spare", "third", "fourth", "fifth")
_TOKEN = re.compile(r'<meta name="csrf-token" content="([^"]+)"')
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class SeenSite:
    """What is measured.

    Attributes:
        key: Of the owner.
        browser: The owner's, signed in.
    """

    address: str
    process: Process
    key: str
    browser: httpx.Client

    def organization(self) -> str:
        """Give the id of the owner's organization."""
        headers = {"authorization": f"Bearer {self.key}"}
        projects = self.browser.get("/admin/v1/projects", headers=headers).raise_for_status().json()
        return str(projects["data"][0]["organization"])

    def cookie(self) -> str:
        """Write the header of the owner's browser."""
        return "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())


@contextmanager
def seen_site(folder: Path, replicas: Sequence[str], **settings: Any) -> Iterator[SeenSite]:
    """Start it for the first time, with five models, and sign its owner in."""
    folder.mkdir()
    port, config, data = free_port(), folder / "lmaas.yaml", folder / "data"
    address = f"http://127.0.0.1:{port}"
    models = [
        {"name": name, "kind": "chat", "replicas": [{"url": url} for url in replicas]} for name in MODELS
    ]
    # The first start makes a key where there is no other: neither an operator's nor one of the configuration.
    keyless: dict[str, Any] = {"open": False, "keys": [], "admin_key": None}
    write_config(config, replicas, models=models, data_dir=str(data), **keyless, **settings)
    command = lmaas_command(str(Path(sys.executable).with_name("lmaas")), port, config)
    with (
        serving("lmaas", command, core=GATEWAY_CORE) as process,
        httpx.Client(base_url=address, timeout=_PATIENCE_S) as browser,
    ):
        wait_until(lambda: answers(f"{address}/readyz"), process, within_s=_PATIENCE_S)
        key = (data / "first-key").read_text().strip()
        _sign_in(browser, address, key)
        yield SeenSite(address, process, key, browser)


def _sign_in(browser: httpx.Client, address: str, key: str) -> None:
    token = _TOKEN.search(browser.get("/ui/sign-in").text)
    form = {"csrf": "" if token is None else token[1], "key": key}
    reply = browser.post("/ui/sign-in", data=form, headers={"origin": address})
    if reply.status_code != 303:
        message = f"signing in was answered with {reply.status_code}"
        raise ServerError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTimes:
    """How long one page took, from the request to its last byte, asked for again and again."""

    name: str
    times: int
    p50_s: float
    worst_s: float
    page_bytes: int


def time_pages(browser: httpx.Client, paths: Mapping[str, str], times: int) -> tuple[PageTimes, ...]:
    """Ask for each page so often, one request after another.

    Raises:
        ServerError: one was refused.
    """
    return tuple(_time_page(browser, name, path, times) for name, path in paths.items())


def _time_page(browser: httpx.Client, name: str, path: str, times: int) -> PageTimes:
    took_s, size = [], 0
    for _ in range(times):
        begun_s = time.perf_counter()
        reply = browser.get(path)
        took_s.append(time.perf_counter() - begun_s)
        size = len(reply.content)
        if reply.status_code != 200:
            message = f"{path} was answered with {reply.status_code}"
            raise ServerError(message)
    return PageTimes(name=name, times=times, p50_s=median(took_s), worst_s=max(took_s), page_bytes=size)
