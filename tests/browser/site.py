"""A gateway with tenants before engines that run already, and before a model that says what it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from e2e.live_gateway import CHAT, EMBEDDING, free_port, lmaas_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from e2e.live_gateway import LiveGateway

ECHO = "echo"
"""A chat model that answers with the last message."""
HOSTILE = "<img src=x onerror=\"window.hacked='model'\">"
"""The same, under a name that is markup."""
READY_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Site:
    """What tests may know of the gateway.

    Attributes:
        url: Its origin.
        owner_key: Of the service account that owns the organization.
    """

    url: str
    owner_key: str

    def api(self, key: str = "") -> httpx.Client:
        """A client of its API, with a key."""
        headers = {"authorization": f"Bearer {key or self.owner_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def make_key(self, name: str, **fields: Any) -> dict[str, Any]:
        """Make a key by the admin API; `secret` is all of it."""
        with self.api() as client:
            project = client.get("/admin/v1/projects").json()["data"][0]["id"]
            body = {"name": name, "project": project, **fields}
            made: dict[str, Any] = client.post("/admin/v1/keys", json=body).raise_for_status().json()
        return made


def models_of(engines: LiveGateway) -> list[dict[str, Any]]:
    """The models of a gateway that runs, as another one may serve them; one of them costs something."""
    price = {"input_per_million": 1000.0, "output_per_million": 2000.0}
    return [
        model(CHAT, "chat", f"unix:{engines.socket_of(CHAT)}", price=price),
        model(EMBEDDING, "embedding", f"unix:{engines.socket_of(EMBEDDING)}"),
    ]


def model(name: str, kind: str, url: str, **fields: Any) -> dict[str, Any]:
    """The settings of a model at one replica."""
    return {"name": name, "kind": kind, "replicas": [{"url": url}], **fields}


@contextmanager
def running_site(
    folder: Path,
    models: Sequence[dict[str, Any]] = (),
    fakes: Sequence[str] = (ECHO, HOSTILE),
    **settings: Any,
) -> Iterator[Site]:
    """Start it with these models and the fake ones, wait until it is ready, stop it."""
    with fake_model(folder) as (echo_url, _):
        port = free_port()
        config = folder / "site.yaml"
        faked = [model(name, "chat", echo_url) for name in fakes]
        given = {"port": port, "data_dir": str(folder / "data"), "models": [*models, *faked]}
        config.write_text(json.dumps(given | settings))  # JSON is YAML, too
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            command = [lmaas_command(), "serve", "--config", str(config)]
            process = subprocess.Popen(command, stdout=out, stderr=err, env=_environment(), cwd=folder)
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(url, process, folder / "stderr")
            yield Site(url, (folder / "data" / "first-key").read_text().strip())
        finally:
            _stop(process)


@contextmanager
def fake_model(folder: Path, name: str = ECHO) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a fake replica; give its address and its process."""
    command = [sys.executable, "-m", "lmaas_gateway.testing", "--model", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        _stop(process)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LMAAS_")}


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], stderr: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not _is_ready(url):
        said = stderr.read_text("utf-8")[-2000:]
        assert process.poll() is None, f"the gateway ended with {process.returncode}:\n{said}"
        assert time.monotonic() < deadline_s, f"not ready after {READY_TIMEOUT_S:.0f} s:\n{said}"
        time.sleep(0.05)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
