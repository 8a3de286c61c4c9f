"""lmaas beside direct vLLM: the same calls to the same engine, with and without a gateway.

lmaas launches the two embedded models as `make serve` does; the direct runs talk to the engines' own sockets.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.loadgen import Figures, Load
from bench.processes import ServerError, free_port, serving, wait_until
from bench.side_by_side import run_load

CHAT, EMBEDDINGS = "smollm2-135m-instruct", "all-minilm-l6-v2"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSize:
    """How much is measured; a round is one direct run and one through the gateway, of each kind."""

    rounds: int = 5
    streams: int = 64
    tokens: int = 64
    embeddings: int = 400


QUICK = EngineSize(rounds=2, streams=32, tokens=16, embeddings=64)


@dataclass(frozen=True, slots=True)
class Pair:
    """One round of one kind of call; rates in tokens or calls per second."""

    direct_per_s: float
    through_per_s: float
    errors: int

    @property
    def ratio(self) -> float:
        """Rate through the gateway as a share of the direct one."""
        return self.through_per_s / self.direct_per_s


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rounds of one kind of call."""

    title: str
    unit: str
    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return median(pair.ratio for pair in self.pairs)

    @property
    def errors(self) -> int:
        """Calls that failed, direct ones included."""
        return sum(pair.errors for pair in self.pairs)


def compare(size: EngineSize, say: Say) -> list[Comparison]:
    """Measure streams of the chat model, then calls of the embedding model.

    Raises:
        ServerError: the gateway or an engine did not start.
    """
    with _stack() as (address, sockets):
        streams = Load(
            address=address,
            model=CHAT,
            requests=size.streams,
            stream=True,
            tokens=size.tokens,
            exact_tokens=True,
        )
        texts = Load(address=address, model=EMBEDDINGS, kind="embeddings", requests=size.embeddings)
        title = f"32 concurrent streams of {size.tokens} tokens, {CHAT}"
        # Not pinned: engine, gateway and load share all cores, as they do in use.
        turns = Interleaver(size.rounds, lambda load: run_load(load, core=None), say)
        chat = turns.pairs(streams, sockets[CHAT], lambda run: run.tokens_per_s)
        called = turns.pairs(texts, sockets[EMBEDDINGS], lambda run: run.calls_per_s)
    return [
        Comparison(title, "tokens/s", chat),
        Comparison(f"embedding calls, 32 connections, {EMBEDDINGS}", "calls/s", called),
    ]


@dataclass(frozen=True, slots=True)
class Interleaver:
    """Runs one load directly and through the gateway in turns, each going first every other round."""

    rounds: int
    run: Callable[[Load], Figures]
    say: Say

    def pairs(self, load: Load, direct: str, rate: Callable[[Figures], float]) -> tuple[Pair, ...]:
        """Measure `load`, addressed to the gateway, and the same at `direct`, after a short run each."""
        for address in (direct, load.address):
            self.run(replace(load, address=address, requests=load.connections))
        return tuple(self._pair(number, load, direct, rate) for number in range(self.rounds))

    def _pair(self, number: int, load: Load, direct: str, rate: Callable[[Figures], float]) -> Pair:
        turns = [direct, load.address] if number % 2 == 0 else [load.address, direct]
        runs = {address: self.run(replace(load, address=address)) for address in turns}
        errors = sum(run.errors for run in runs.values())
        pair = Pair(rate(runs[direct]), rate(runs[load.address]), errors)
        self.say(f"{load.model} round {number + 1} of {self.rounds}: {pair.ratio:.3f} of direct")
        return pair


@contextmanager
def _stack() -> Iterator[tuple[str, dict[str, str]]]:
    """Run gateway and engines; give the gateway's address and each model's engine socket."""
    # /tmp itself, because the path of a unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        runtime, port = Path(name) / "run", free_port()
        runtime.mkdir(mode=0o700)
        config = Path(name) / "lmaas.yaml"
        models = [{"name": model, "model": model} for model in (CHAT, EMBEDDINGS)]
        # YAML takes JSON as it is.
        config.write_text(json.dumps({"runtime_dir": str(runtime), "models": models}))
        program = str(Path(sys.executable).with_name("lmaas"))
        command = [program, "serve", "--config", str(config), "--port", str(port)]
        address = f"http://127.0.0.1:{port}"
        with serving("lmaas-engine", command, env=_engine_environment()) as process:
            wait_until(lambda: _is_ready(address), process, within_s=600)
            yield address, _sockets(runtime)


def _engine_environment() -> dict[str, str]:
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    return {name: os.environ.get(name, value) for name, value in offline.items()}


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _sockets(runtime: Path) -> dict[str, str]:
    """Find the engines' HTTP sockets under the runtime folder, by the model that each says it serves."""
    # The engines keep sockets of their own protocol there too; those have other names.
    found = {_served_model(path): f"unix:{path}" for path in runtime.rglob("*.sock") if path.is_socket()}
    if not {CHAT, EMBEDDINGS} <= set(found):
        message = f"of the engines' sockets only these answered: {sorted(found) or 'none'}"
        raise ServerError(message)
    return found


def _served_model(path: Path) -> str:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", "/v1/models")
        listed = json.loads(connection.getresponse().read())
        return str(listed["data"][0]["id"])
    except (OSError, ValueError, LookupError):
        return ""
    finally:
        connection.close()
