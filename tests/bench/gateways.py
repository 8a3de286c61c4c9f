"""The gateways that are compared: how each is found, started in front of one replica, and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.configuration import KEY, write_config
from bench.processes import free_port

ROOT = Path(__file__).parents[2]

_VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Gateway:
    """One contestant.

    Attributes:
        package: Its distribution, as installed for `python`.
        python: Interpreter of its environment; None if it could not be had.
        weight: Share of the full number of calls that its runs make; slow ones make fewer.
        key: What callers send.
    """

    name: str
    package: str
    python: Path | None
    weight: float = 1.0
    key: str = KEY

    @property
    def is_ours(self) -> bool:
        """Whether it is lmaas: a peer may fail to start, and the rest is measured without it."""
        return self.package == "lmaas"

    @property
    def version(self) -> str:
        """Version of the installed distribution, or why there is none."""
        if self.python is None:
            return "not installed"
        command = [str(self.python), "-c", _VERSION, self.package]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def command(self, *, port: int, replicas: Sequence[str], folder: Path) -> list[str]:
        """Write its configuration into `folder`, if it has one, and return what serves on `port`."""
        assert self.python is not None
        program = str(self.python.parent / self.package)
        return _COMMANDS[self.name](program, port, replicas, folder)


def lmaas_command(program: str, port: int, config: Path) -> list[str]:
    """Return what serves lmaas on `port`."""
    return [program, "serve", "--config", str(config), "--port", str(port)]


def _lmaas(
    program: str, port: int, replicas: Sequence[str], folder: Path, *, is_bare: bool = False
) -> list[str]:
    config = write_config(folder / f"lmaas-{port}.yaml", replicas, is_bare=is_bare)
    return lmaas_command(program, port, config)


def _rust_router(program: str, port: int, replicas: Sequence[str], *subcommand: str) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    return [program, *subcommand, *where, "--worker-urls", *replicas, "--log-level", "error"]


def _litellm(program: str, port: int, replicas: Sequence[str], folder: Path) -> list[str]:
    config = folder / "litellm.yaml"
    parameters = [
        {"model": "hosted_vllm/mock", "api_base": f"{url}/v1", "api_key": "none"} for url in replicas
    ]
    models = [{"model_name": "mock", "litellm_params": one} for one in parameters]
    # YAML takes JSON as it is.
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    return [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]


def _relay(program: str, port: int, replicas: Sequence[str], _: Path) -> list[str]:
    python = Path(program).with_name("python")
    return [str(python), str(Path(__file__).with_name("byte_relay.py")), str(port), replicas[0]]


RELAY = "byte relay"
"""Not a gateway: it only copies bytes, as whatever stands between client and replica must."""

_COMMANDS: Mapping[str, Callable[[str, int, Sequence[str], Path], list[str]]] = {
    "lmaas": _lmaas,
    "lmaas, bare": partial(_lmaas, is_bare=True),
    "vllm-router": lambda program, port, replicas, _: _rust_router(program, port, replicas),
    "smg": lambda program, port, replicas, _: _rust_router(program, port, replicas, "launch"),
    "litellm": _litellm,
    RELAY: _relay,
}


def contestants(environment: Mapping[str, str], *, names: Sequence[str]) -> list[Gateway]:
    """Find lmaas and its peers, making a peer's environment where there is none yet."""
    return [_contestant(name, environment) for name in names]


def _contestant(name: str, environment: Mapping[str, str]) -> Gateway:
    if name.startswith("lmaas"):
        return Gateway(name, "lmaas", Path(sys.executable))
    if name == RELAY:
        return Gateway(name, "uvloop", Path(sys.executable))
    # LiteLLM needs about a hundred times as long for a call.
    return Gateway(name, name, _interpreter(name, environment), 0.02 if name == "litellm" else 1.0)


def _interpreter(name: str, environment: Mapping[str, str]) -> Path | None:
    """Return a peer's interpreter: `LMAAS_BENCH_<NAME>` if set, else what the bootstrap makes."""
    if given := environment.get(f"LMAAS_BENCH_{name.upper().replace('-', '_')}"):
        return Path(given)
    python = environment.get("LMAAS_PYTHON", "python3")
    command = [python, str(ROOT / "gateway" / "bootstrap"), "env", f"bench-{name}"]
    made = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ)
    return Path(made.stdout.split()[-1]) if made.returncode == 0 and made.stdout.split() else None
