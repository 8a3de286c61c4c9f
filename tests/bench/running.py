"""Loads and mock replicas as processes of their own, each on its core."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.arrivals import Account, Arrivals
from bench.configuration import KEY
from bench.loadgen import Figures, Load
from bench.processes import Process, ServerError, free_port, on_core, serving, wait_until

GATEWAY_CORE, LOAD_CORE = 0, 1
LOADGEN = Path(__file__).with_name("loadgen.py")
ARRIVALS = Path(__file__).with_name("arrivals.py")


@contextmanager
def mock_replica(*options: str) -> Iterator[str]:
    """Run the fast fake replica beside the load, and give its address."""
    port = free_port()
    command = [sys.executable, "-m", "lmaas_gateway.testing", "--fast", "--port", str(port), *options]
    with serving("mock", command, core=LOAD_CORE) as process:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{address}/health"), process, within_s=30)
        yield address


def answers(url: str) -> bool:
    """Tell whether a GET of `url` gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def run_load(load: Load, *, core: int | None = LOAD_CORE) -> Figures:
    """Run one load in a process of its own.

    Raises:
        ServerError: the load generator itself failed.
    """
    return msgspec.json.decode(_generate(LOADGEN, load, core, load.timeout_s + 30), type=Figures)


def run_arrivals(arrivals: Arrivals) -> Account:
    """Let calls come, from a process of their own.

    Raises:
        ServerError: the generator itself failed.
    """
    patience_s = sum(phase.seconds for phase in arrivals.phases) + 2 * arrivals.patience_s
    told = _generate(ARRIVALS, arrivals, LOAD_CORE, patience_s)
    return msgspec.json.decode(told.splitlines()[-1], type=Account)


def _generate(program: Path, wanted: Load | Arrivals, core: int | None, within_s: float) -> str:
    """Run a generator of load, and give what it prints."""
    command = on_core(core, [sys.executable, str(program), msgspec.json.encode(wanted).decode()])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=within_s)
    if done.returncode:
        message = f"the load generator failed: {done.stderr.strip()[-500:]}"
        raise ServerError(message)
    return done.stdout


def open_streams_rss(address: str, process: Process, count: int, *, key: str = KEY) -> tuple[int, int]:
    """Hold `count` streams open at once; return how many opened, and the memory of `process` meanwhile."""
    load = Load(address=address, key=key, connections=count, stream=True, tokens=120, hold=True, timeout_s=60)
    command = on_core(LOAD_CORE, [sys.executable, str(LOADGEN), msgspec.json.encode(load).decode()])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        opened = int(holder.stdout.readline() or 0)
        rss = process.rss_bytes()
        holder.communicate()
    return opened, rss
