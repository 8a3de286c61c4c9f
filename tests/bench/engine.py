"""The section `engine`: lmaas beside direct vLLM, the same calls to the same engines with and without it.

lmaas launches the two embedded models as `make serve` does; the direct runs talk to the engines' own sockets.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.confidence import median_interval
from bench.configuration import KEY, features
from bench.loadgen import Figures, Load
from bench.processes import ServerError, free_port, serving, wait_until
from bench.running import answers, run_load
from bench.section import Say, Section, Verdict, table

CHAT, EMBEDDINGS = "smollm2-135m-instruct", "all-minilm-l6-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSize:
    """How much is measured; a round is one direct run and one through the gateway."""

    chat_rounds: int = 8
    streams: int = 32
    tokens: int = 64
    embedding_rounds: int = 20
    embeddings: int = 256


QUICK = EngineSize(chat_rounds=2, tokens=16, embedding_rounds=2, embeddings=64)


@dataclass(frozen=True, slots=True)
class Pair:
    """One round; rates in tokens or calls per second."""

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


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Both kinds of call."""

    chat: Comparison
    embeddings: Comparison


def measure(is_quick: bool, say: Say) -> Comparisons:
    """Measure streams of the chat model, then calls of the embedding model.

    Raises:
        ServerError: the gateway or an engine did not start.
    """
    size = QUICK if is_quick else EngineSize()
    with _stack() as (address, sockets):
        streams = Load(
            address=address,
            model=CHAT,
            key=KEY,
            requests=size.streams,
            stream=True,
            tokens=size.tokens,
            exact_tokens=True,
        )
        texts = Load(address=address, model=EMBEDDINGS, key=KEY, kind="embeddings", requests=size.embeddings)
        turns = Interleaver(lambda load: run_load(load, core=None), say)
        called = turns.pairs(
            texts, sockets[EMBEDDINGS], lambda run: run.calls_per_s, rounds=size.embedding_rounds
        )
        chat = turns.pairs(streams, sockets[CHAT], lambda run: run.tokens_per_s, rounds=size.chat_rounds)
    return Comparisons(
        Comparison(f"32 concurrent streams of {size.tokens} tokens, {CHAT}", "tokens/s", chat),
        Comparison(f"embedding calls, 32 connections, {EMBEDDINGS}", "calls/s", called),
    )


@dataclass(frozen=True, slots=True)
class Interleaver:
    """Runs one load directly and through the gateway in turns, each going first every other round."""

    run: Callable[[Load], Figures]
    say: Say

    def pairs(
        self, load: Load, direct: str, rate: Callable[[Figures], float], *, rounds: int
    ) -> tuple[Pair, ...]:
        """Measure `load`, addressed to the gateway, and the same at `direct`, after a short run each."""
        for address in (direct, load.address):
            self.run(replace(load, address=address, requests=load.connections))
        pairs = []
        for number in range(rounds):
            pairs.append(self._pair(number, load, direct, rate))
            self.say(f"{load.model} round {number + 1} of {rounds}: {pairs[-1].ratio:.3f} of direct")
        return tuple(pairs)

    def _pair(self, number: int, load: Load, direct: str, rate: Callable[[Figures], float]) -> Pair:
        turns = [direct, load.address] if number % 2 == 0 else [load.address, direct]
        runs = {address: self.run(replace(load, address=address)) for address in turns}
        errors = sum(run.errors for run in runs.values())
        return Pair(rate(runs[direct]), rate(runs[load.address]), errors)


@contextmanager
def _stack() -> Iterator[tuple[str, dict[str, str]]]:
    """Run gateway and engines; give the gateway's address and each model's engine socket."""
    # /tmp itself, because the path of a unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        runtime, port = Path(name) / "run", free_port()
        runtime.mkdir(mode=0o700)
        config = Path(name) / "lmaas.yaml"
        models = [{"name": model, "model": model} for model in (CHAT, EMBEDDINGS)]
        values = {"runtime_dir": str(runtime), "models": models}
        values |= features()
        # YAML takes JSON as it is.
        config.write_text(json.dumps(values))
        program = str(Path(sys.executable).with_name("lmaas"))
        command = [program, "serve", "--config", str(config), "--port", str(port)]
        address = f"http://127.0.0.1:{port}"
        with serving("lmaas-engine", command, env=_engine_environment()) as process:
            wait_until(lambda: answers(f"{address}/readyz"), process, within_s=600)
            yield address, _sockets(runtime)


def _engine_environment() -> dict[str, str]:
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    return {name: os.environ.get(name, value) for name, value in offline.items()}


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


def judge(result: Comparisons | None) -> Sequence[Verdict]:
    """Hold the throughput against the goal."""
    chat = None if result is None else result.chat.ratio
    texts = None if result is None else result.embeddings.ratio
    failed = None if result is None else float(result.chat.errors + result.embeddings.errors)
    return [
        Verdict(
            "≥ 0.98 of direct vLLM's calls and tokens per second, chat, 32 in flight",
            chat,
            0.98,
            is_floor=True,
        ),
        Verdict(
            "≥ 0.98 of direct vLLM's calls per second, embeddings, 32 in flight", texts, 0.98, is_floor=True
        ),
        Verdict("no failed call on the real engine", failed, 0),
    ]


def describe(result: Comparisons) -> str:
    """Tell how it was measured, and every figure."""
    method = (
        "The same engine processes, called over their own unix sockets and through lmaas in turns, each "
        "first every other round; engine, gateway and load share all cores, as they do in use. "
        "Every stream has the same number of tokens, so calls and tokens per second have one "
        "ratio. The ratio is the median of the rounds' ratios, with the interval that holds the true median "
        "with 95 % certainty."
    )
    rows = [_shown(one) for one in (result.chat, result.embeddings)]
    header = ("what", "unit", "rounds", "direct, mean", "through lmaas, mean", "ratio", "failed calls")
    return f"{method}\n\n{table(header, rows)}"


def _shown(one: Comparison) -> list[str]:
    rates = ([pair.direct_per_s for pair in one.pairs], [pair.through_per_s for pair in one.pairs])
    low, high = median_interval([pair.ratio for pair in one.pairs])
    means = [f"{sum(values) / len(values):.1f}" for values in rates]
    ratio = f"{one.ratio:.3f} ({low:.3f} to {high:.3f})"
    return [one.title, one.unit, str(len(one.pairs)), *means, ratio, str(one.errors)]


SECTION = Section(
    name="engine",
    title="lmaas beside direct vLLM",
    result=Comparisons,
    measure=measure,
    judge=judge,
    describe=describe,
)
