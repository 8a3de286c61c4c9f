"""The benchmark's command line: what to measure, how much of it, and where the page goes."""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import engine, report, side_by_side
from bench.gateways import ROOT, contestants
from bench.processes import ServerError

PAGE = ROOT / "docs" / "benchmarks.md"
PEERS = ("lmaas", "vllm-router", "smg", "litellm")


def main(arguments: Sequence[str]) -> int:
    """Measure, write the page, print the verdict; 1 if a goal was missed, 2 if something did not start."""
    options = _parser().parse_args(arguments)
    # An exception unwinds the run, so that an ended benchmark leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        measured = _measure(options, shlex.join(["tests/bench/run.py", *arguments]))
    except ServerError as error:
        _say(str(error))
        return 2
    page = report.markdown(measured)
    options.output.write_text(page)
    _say(page)
    return int(any("missed" in verdict.word for verdict in report.verdicts(measured)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/bench/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that everything works")
    parser.add_argument("--only", choices=("mock", "engine"), help="one half of the benchmark")
    parser.add_argument("--gateways", nargs="+", default=list(PEERS), choices=PEERS, help="which to compare")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write")
    return parser


def _measure(options: argparse.Namespace, command: str) -> report.Measured:
    load_before = os.getloadavg()[0]
    contests: list[side_by_side.Contest] = []
    comparisons: list[engine.Comparison] = []
    absent: list[str] = []
    if options.only != "engine":
        found = contestants(os.environ, names=options.gateways)
        absent = [gateway.name for gateway in found if gateway.python is None]
        size = side_by_side.QUICK if options.quick else side_by_side.Size()
        contests = side_by_side.compare(found, size, _say)
    if options.only != "mock":
        comparisons = engine.compare(engine.QUICK if options.quick else engine.EngineSize(), _say)
    return report.Measured(
        date=datetime.datetime.now(tz=datetime.UTC).date(),
        command=command,
        machine=report.machine(),
        load_before=load_before,
        load_after=os.getloadavg()[0],
        contests=tuple(contests),
        engine=tuple(comparisons),
        absent=tuple(absent),
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
