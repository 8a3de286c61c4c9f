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
from bench.processes import ServerError, free_port, is_taken, serving, wait_until
from bench.running import answers, run_load
from bench.section import Say, Section, Verdict, table

_RELAY = Path(__file__).with_name("byte_relay.py")
CHAT, EMBEDDINGS = "smollm2-135m-instruct", "all-minilm-l6-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSize:
    """How much is measured; a round is one direct run and one through the gateway."""

    chat_rounds: int = 8
    streams: int = 32
    tokens: int = 64
    embedding_rounds: int = 15
    embeddings: int = 224


QUICK = EngineSize(chat_rounds=2, tokens=16, embedding_rounds=2, embeddings=64)


@dataclass(frozen=True, slots=True)
class Pair:
    """One round; rates in tokens or calls per second.

    Attributes:
        relay_per_s: Through a relay of bytes in the gateway's place; None where it was not measured.
    """

    direct_per_s: float
    through_per_s: float
    errors: int
    relay_per_s: float | None = None

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
        with relay(sockets[EMBEDDINGS]) as relayed:
            called = turns.pairs(
                texts,
                sockets[EMBEDDINGS],
                lambda run: run.calls_per_s,
                rounds=size.embedding_rounds,
                relay=relayed,
            )
        chat = turns.pairs(streams, sockets[CHAT], lambda run: run.tokens_per_s, rounds=size.chat_rounds)
    return Comparisons(
        Comparison(f"32 concurrent streams of {size.tokens} tokens, {CHAT}", "tokens/s", chat),
        Comparison(f"embedding calls, 32 connections, {EMBEDDINGS}", "calls/s", called),
    )


@dataclass(frozen=True, slots=True)
class Interleaver:
    """Runs one load directly and through the gateway in turns, so that each goes first equally often."""

    run: Callable[[Load], Figures]
    say: Say

    def pairs(
        self,
        load: Load,
        direct: str,
        rate: Callable[[Figures], float],
        *,
        rounds: int,
        relay: str | None = None,
    ) -> tuple[Pair, ...]:
        """Measure `load`, addressed to the gateway, and the same at `direct`, after a short run each."""
        addresses = [direct, load.address, *([relay] if relay else [])]
        for address in addresses:
            self.run(replace(load, address=address, requests=load.connections))
        pairs = []
        for number in range(rounds):
            turn = number % len(addresses)
            order = addresses[turn:] + addresses[:turn]
            runs = {address: self.run(replace(load, address=address)) for address in order}
            errors = sum(run.errors for run in runs.values())
            relayed = rate(runs[relay]) if relay else None
            pairs.append(Pair(rate(runs[direct]), rate(runs[load.address]), errors, relayed))
            self.say(f"{load.model} round {number + 1} of {rounds}: {pairs[-1].ratio:.3f} of direct")
        return tuple(pairs)


@contextmanager
def relay(engine_socket: str) -> Iterator[str]:
    """Run a relay of bytes before an engine's socket, and give its address."""
    port = free_port()
    command = [sys.executable, str(_RELAY), str(port), engine_socket.removeprefix("unix:")]
    with serving("relay", command) as process:
        wait_until(lambda: is_taken(port), process, within_s=30)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _stack() -> Iterator[tuple[str, dict[str, str]]]:
    """Run gateway and engines; give the gateway's address and each model's engine socket."""
    # /tmp itself, because the path of a unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        runtime, port = Path(name) / "run", free_port()
        runtime.mkdir(mode=0o700)
        config = Path(name) / "lmaas.yaml"
        models = [{"name": model, "model": model} for model in (CHAT, EMBEDDINGS)]
        values: dict[str, object] = {"open": True, "runtime_dir": str(runtime), "models": models}
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
        "with 95 % certainty. The relay is a process that only copies bytes, in the gateway's place: what it "
        "loses, any process between client and engine loses on a machine whose cores the engine fills."
    )
    rows = [_shown(one) for one in (result.chat, result.embeddings)]
    header = (
        "what",
        "unit",
        "rounds",
        "direct, mean",
        "through lmaas, mean",
        "ratio",
        "a relay's",
        "failed calls",
    )
    return f"{method}\n\n{table(header, rows)}"


def _shown(one: Comparison) -> list[str]:
    rates = ([pair.direct_per_s for pair in one.pairs], [pair.through_per_s for pair in one.pairs])
    low, high = median_interval([pair.ratio for pair in one.pairs])
    means = [f"{sum(values) / len(values):.1f}" for values in rates]
    ratio = f"{one.ratio:.3f} ({low:.3f} to {high:.3f})"
    relayed = [pair.relay_per_s / pair.direct_per_s for pair in one.pairs if pair.relay_per_s is not None]
    relay = f"{median(relayed):.3f}" if relayed else "-"
    return [one.title, one.unit, str(len(one.pairs)), *means, ratio, relay, str(one.errors)]


SECTION = Section(
    name="engine",
    title="lmaas beside direct vLLM",
    result=Comparisons,
    measure=measure,
    judge=judge,
    describe=describe,
)
