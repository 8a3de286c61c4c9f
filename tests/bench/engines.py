"""Real vLLM replicas on TCP ports, for gateways that know no unix sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench.processes import ServerError, free_port, serving, wait_until
from bench.running import answers
from lmaas_gateway.replicas import catalog, engine
from lmaas_gateway.settings import EngineSettings, ModelSettings

_TINY_MODEL = Path(__file__).with_name("tiny_model.py")
_MAX_MODEL_LEN = 8192
_KV_CACHE_BYTES = 256 * 2**20
_START_TIMEOUT_S = 240


def engine_python() -> str:
    """Return the interpreter that has vLLM."""
    return os.environ.get("LMAAS_ENGINE__PYTHON") or sys.executable


def make_tiny_model(folder: Path) -> Path:
    """Make the tiny model, with the tokenizer of the embedded chat model.

    Raises:
        ServerError: it could not be made.
    """
    tokenizer = catalog.prepare(
        catalog.resolve("smollm2-135m-instruct"),
        cache_dir=catalog.default_cache_dir(os.environ),
        engine_python=engine_python(),
        progress=_no_progress,
    )
    command = [engine_python(), str(_TINY_MODEL), tokenizer.path_or_id, str(folder), str(_MAX_MODEL_LEN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"the tiny model was not made: {done.stderr.strip()[-500:]}"
        raise ServerError(message)
    return folder


def _no_progress(what: str, how_far: str, elapsed_s: float) -> None:
    """Say nothing of how far the preparation is."""


@contextmanager
def replicas(model: Path, count: int, folder: Path) -> Iterator[list[str]]:
    """Run so many replicas of `model`, served as `mock`, and give their addresses."""
    with ExitStack() as stack:
        started = [stack.enter_context(_replica(model, folder, number)) for number in range(count)]
        for _, is_ready in started:
            is_ready()
        yield [address for address, _ in started]


@contextmanager
def _replica(model: Path, folder: Path, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    spec = engine.EngineSpec(
        model=ModelSettings(
            name="mock", model=str(model), kind="chat", kv_cache_memory_bytes=_KV_CACHE_BYTES
        ),
        prepared=catalog.PreparedModel(
            str(model), str(model), "chat", is_local=True, max_model_len=_MAX_MODEL_LEN
        ),
        engine=EngineSettings(),
        python=engine_python(),
        device="cpu",
        socket_path=folder / f"{number}.sock",
    )
    command = list(engine.command(spec))
    at = command.index("--uds")
    command[at : at + 2] = ["--host", "127.0.0.1", "--port", str(port)]
    cache = catalog.default_cache_dir(os.environ)
    environment = engine.environment(spec, inherited=os.environ, cache_dir=cache)
    # For /reset_prefix_cache.
    with serving(f"vllm-{number}", command, env=environment | {"VLLM_SERVER_DEV_MODE": "1"}) as process:
        yield (
            address,
            lambda: wait_until(lambda: answers(f"{address}/health"), process, within_s=_START_TIMEOUT_S),
        )


def _ask(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return bytes(reply.read())
    except OSError as error:
        message = f"{request.get_method()} {request.selector} failed: {error}"
        raise ServerError(message) from error


class _Reset(msgspec.Struct):
    success: bool = False


def reset_prefix_cache(address: str) -> None:
    """Make a replica forget every prompt.

    Raises:
        ServerError: it holds on to some.
    """
    reply = _ask(urllib.request.Request(f"{address}/reset_prefix_cache", method="POST"))
    if not msgspec.json.decode(reply, type=_Reset).success:
        message = "a replica did not reset its prefix cache"
        raise ServerError(message)


def counter(address: str, name: str) -> float:
    """Read one of a replica's counters, over all labels.

    Raises:
        ServerError: it does not answer.
    """
    lines = _ask(urllib.request.Request(f"{address}/metrics")).decode().splitlines()
    found = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rpartition(" ")[2]) for line in found)
