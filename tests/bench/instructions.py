"""What one call costs the gateway, counted and not timed: the same on a busy machine as on a quiet one.

    python tests/bench/instructions.py               # instructions a call and an event, by C function
    python tests/bench/instructions.py --python      # bytecodes a plain call, by Python function
    python tests/bench/instructions.py --streams     # the same of events that come one by one; or --python

With `--bare` the gateway is as it comes, with `--tenants` it also has keys in a store, limits and books. With
`--seen` it is as it comes and traces 1 % of calls, with `--unseen` it has none of what is seen of a call.

The first runs the gateway under valgrind's callgrind (Debian: `valgrind`), the second under a trace function.
Run it before and after a change and compare; counts repeat to about one per cent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

if __package__ in {None, ""}:  # run as a file
    sys.path[0] = str(Path(__file__).parents[1])

from bench.configuration import KEY, write_config
from bench.gateways import lmaas_command
from bench.loadgen import Load
from bench.processes import Process, ServerError, free_port, serving, wait_until
from bench.running import answers, mock_replica, run_load
from bench.seen_calls import seen_gateways
from bench.tenants import Store, TenantGateway
from support.collecting import Collector

_TRACED = Path(__file__).with_name("traced.py")
_COUNTS = "counts.json"
_IDLE_S = 4.0
# So few and so slow that a gateway under valgrind keeps up, and no two events of a stream come together.
_STREAMS, _SHORT, _LONG, _PACE_MS = 8, 8, 136, 40.0
_Kind = Literal["bare", "full", "tenants", "seen", "unseen"]
_KINDS: Mapping[_Kind, str] = MappingProxyType(
    {
        "bare": "with every feature as it comes",
        "tenants": "with keys, limits and books too",
        "seen": "as it comes, and with traces of 1 %% of calls",
        "unseen": "without records, traces, timings and samples of replies",
    }
)
_LINE = re.compile(r"^\s*([\d,]+)\s+\(\s*([\d.]+)%\)\s+(.*)$")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="store_true", help="by Python function, in bytecodes")
    parser.add_argument("--streams", action="store_true", help="of streamed events that come one by one")
    kinds = parser.add_mutually_exclusive_group()
    for kind, what in _KINDS.items():
        kinds.add_argument(
            f"--{kind}", action="store_const", dest="kind", const=kind, default="full", help=what
        )
    parser.add_argument("--calls", type=int, default=400, help="how many calls are counted")
    parser.add_argument("--rows", type=int, default=40, help="how many functions are listed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        if options.streams:
            _of_lone_events(Path(name), options.rows, options.kind, is_python=options.python)
            return
        count = _by_python_function if options.python else _by_c_function
        count(Path(name), options.calls, options.rows, options.kind)


@contextmanager
def _gateway(
    folder: Path, prefix: Sequence[str], kind: _Kind, *, pace: Sequence[str] = ()
) -> Iterator[tuple[Load, Process]]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        replicas = [stack.enter_context(mock_replica(*pace)) for _ in range(2)]
        collector = stack.enter_context(closing(Collector()))
        command, key = _command(folder, port, replicas, kind, collector.url)
        env = {"LMAAS_TRACED_COUNTS": str(folder / _COUNTS)}
        with serving("lmaas-counted", [*prefix, *command], env=env) as process:
            wait_until(lambda: answers(f"{address}/readyz"), process, within_s=180)
            # Some calls at once, as in use: what is done for several of them together costs less.
            load = Load(address=address, key=key, connections=8, requests=100)
            run_load(load)
            run_load(replace(load, stream=True, requests=16))
            yield load, process


def _command(
    folder: Path, port: int, replicas: Sequence[str], kind: _Kind, collector: str
) -> tuple[list[str], str]:
    """Give what serves on `port`, and a key that it takes."""
    if kind in {"seen", "unseen"}:
        seen, unseen = seen_gateways(collector)
        one = seen if kind == "seen" else unseen
        return one.command(port=port, replicas=replicas, folder=folder), KEY
    if kind == "tenants":
        store = Store.in_folder(folder / "store")
        (key,) = asyncio.run(store.furnish(1))
        python = Path(sys.executable)
        gateway = TenantGateway(name="counted", package="lmaas", python=python, key=key, store=store)
        return gateway.command(port=port, replicas=replicas, folder=folder), key
    config = write_config(folder / "lmaas.yaml", replicas, is_bare=kind == "bare")
    return lmaas_command(str(Path(sys.executable).with_name("lmaas")), port, config), KEY


def _by_c_function(folder: Path, calls: int, rows: int, kind: _Kind) -> None:
    with _gateway(folder, _valgrind(folder), kind) as (load, process):
        idle = _collected(process, folder, None)
        plain = _collected(process, folder, replace(load, requests=calls))
        streams = replace(load, requests=max(calls // 16, 8), stream=True)
        streamed = _collected(process, folder, streams)
    # What timers do by the clock, and slow motion makes too much of.
    per_second = idle.total / idle.seconds
    per_call = (plain.total - per_second * plain.seconds) / calls
    of_events = streamed.total - per_second * streamed.seconds - per_call * streams.requests
    _say(f"{per_call:12,.0f} instructions a plain call")
    _say(f"{of_events / (streams.requests * (streams.tokens + 3)):12,.0f} more a streamed event")
    _say("by function, timers included:")
    for count, function in plain.by_function[:rows]:
        _say(f"{count / calls:12,.0f}  {function}")


def _of_lone_events(folder: Path, rows: int, kind: _Kind, *, is_python: bool) -> None:
    """Count what long streams cost more than short ones."""
    prefix = [sys.executable, str(_TRACED)] if is_python else _valgrind(folder)
    with _gateway(folder, prefix, kind, pace=["--itl-ms", f"{_PACE_MS:g}"]) as (load, process):
        collect = _traced if is_python else _collected
        idle = collect(process, folder, None)
        short = collect(process, folder, replace(load, stream=True, requests=_STREAMS, tokens=_SHORT))
        long = collect(process, folder, replace(load, stream=True, requests=_STREAMS, tokens=_LONG))
    events = _STREAMS * (_LONG - _SHORT)
    per_second = idle.total / idle.seconds
    of_events = long.total - short.total - per_second * (long.seconds - short.seconds)
    unit = "bytecodes" if is_python else "instructions"
    _say(f"{of_events / events:12,.1f} {unit} an event that comes alone")
    _say("by function, timers included:")
    before = {function: count for count, function in short.by_function}
    more = [(count - before.get(function, 0), function) for count, function in long.by_function]
    for count, function in sorted(more, reverse=True)[:rows]:
        _say(f"{count / events:12,.1f}  {function}")


def _valgrind(folder: Path) -> list[str]:
    return [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
        *(f"--callgrind-out-file={folder}/out", sys.executable),
    ]


@dataclass(frozen=True, slots=True)
class _Count:
    """The instructions of some seconds, in all and by function."""

    total: int
    seconds: float
    by_function: list[tuple[int, str]]


def _collected(process: Process, folder: Path, load: Load | None) -> _Count:
    """Count the instructions of one load, or of some idle seconds."""
    pid, begun_s = str(process.pid), time.monotonic()
    for option in ("--zero", "--instr=on"):
        subprocess.run(["callgrind_control", option, pid], check=True, capture_output=True)
    if load is None:
        time.sleep(_IDLE_S)
    elif run_load(load).errors:
        message = "calls failed while they were counted"
        raise ServerError(message)
    seconds = time.monotonic() - begun_s
    for option in ("--dump", "--instr=off"):
        subprocess.run(["callgrind_control", option, pid], check=True, capture_output=True)
    dump = max(folder.glob("out.*"), key=lambda path: path.stat().st_mtime_ns)
    listed = subprocess.run(
        ["callgrind_annotate", "--threshold=100", str(dump)], check=True, capture_output=True, text=True
    ).stdout
    found = [
        (int(match[1].replace(",", "")), match[3]) for match in map(_LINE.match, listed.splitlines()) if match
    ]
    named = [(count, function.split(" [")[0].rpartition("/")[2]) for count, function in found[1:]]
    return _Count(found[0][0], seconds, named)


def _by_python_function(folder: Path, calls: int, rows: int, kind: _Kind) -> None:
    with _gateway(folder, [sys.executable, str(_TRACED)], kind) as (load, process):
        counted = _traced(process, folder, replace(load, requests=calls))
    _say(f"{counted.total / calls:10,.1f} bytecodes a plain call")
    for count, function in counted.by_function[:rows]:
        _say(f"{count / calls:10,.1f}  {function}")


def _traced(process: Process, folder: Path, load: Load | None) -> _Count:
    """Count the bytecodes of one load, or of some idle seconds."""
    counts, begun_s = folder / _COUNTS, time.monotonic()
    os.kill(process.pid, signal.SIGUSR1)
    if load is None:
        time.sleep(_IDLE_S)
    else:
        run_load(load)
    seconds = time.monotonic() - begun_s
    os.kill(process.pid, signal.SIGUSR2)
    wait_until(counts.exists, process, within_s=30)
    found: dict[str, int] = json.loads(counts.read_text())
    counts.unlink()
    by_function = sorted(((count, function) for function, count in found.items()), reverse=True)
    return _Count(sum(found.values()), seconds, by_function)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    # An exception unwinds the run, so that an ended count leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
