"""The benchmark's command line: what to measure, how much of it, and the page that comes of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import contest, engine, open_streams, overload, prefix, records, report, seeing, tenancy
from bench.gateways import ROOT
from bench.section import Section

SECTIONS: tuple[Section[Any], ...] = (
    contest.SECTION,
    open_streams.SECTION,
    overload.SECTION,
    engine.SECTION,
    prefix.SECTION,
    tenancy.SECTION,
    seeing.SECTION,
)
SCRIPTS: Mapping[str, Sequence[str]] = {"sdk": ("sdk.py", "sdk_behaviour.py")}
"""Benchmarks with pages of their own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where figures are kept and shown."""

    folder: Path = records.FOLDER
    page: Path = ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str]) -> int:
    """Measure, write the pages, print the verdict; 1 if a goal was missed, 2 if a section failed."""
    options = _parser().parse_args(arguments)
    chosen = () if options.page else options.only
    sections = [section for section in SECTIONS if section.name in chosen]
    scripts = [file for name in SCRIPTS if name in chosen for file in SCRIPTS[name]]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Place(Path(name), Path(name) / "page.md") if options.quick else Place()
        status = run(sections, place, is_quick=options.quick)
        if options.quick:
            _say(place.page.read_text())
    done = [_attempt(file, partial(_run_script, file, is_quick=options.quick)) for file in scripts]
    return status if all(done) else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = [*(section.name for section in SECTIONS), *SCRIPTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="sections to measure")
    parser.add_argument("--quick", action="store_true", help="short runs that are shown and not kept")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page anew")
    return parser


def run(chosen: Sequence[Section[Any]], place: Place, *, is_quick: bool) -> int:
    """Measure the chosen sections and write the page of all; return the exit status."""
    failed = []
    for section in chosen:
        _say(f"— {section.name}: {section.title}")
        if not _attempt(section.name, partial(_measure, section, place, is_quick=is_quick)):
            failed.append(section.name)
    place.page.write_text(report.page(SECTIONS, place.folder))
    judged = report.verdicts(SECTIONS, place.folder)
    for verdict in judged:
        _say(f"{verdict.word:12}  {verdict.shown:>8}  {verdict.goal}")
    if failed:
        _say(f"failed, and keep their last figures: {', '.join(failed)}")
        return 2
    return int(any("missed" in verdict.word for verdict in judged))


def _attempt(name: str, work: Callable[[], None]) -> bool:
    """Do one part of the benchmark; a failure is told, and costs the others nothing."""
    begun_s = time.monotonic()
    try:
        work()
    except Exception:  # whatever it was, the other sections can still be measured
        _say(f"— {name} failed:\n{traceback.format_exc()}")
        return False
    _say(f"— {name}: done in {time.monotonic() - begun_s:.0f} s")
    return True


def _measure(section: Section[Any], place: Place, *, is_quick: bool) -> None:
    quick = " --quick" if is_quick else ""
    setting, result = records.measured(
        f'make bench ARGS="--only {section.name}{quick}"',
        lambda is_short: section.measure(is_short, _say),
        is_quick=is_quick,
    )
    records.save(section, setting, result, place.folder)
    place.page.write_text(report.page(SECTIONS, place.folder))


def _run_script(file: str, *, is_quick: bool) -> None:
    command = [sys.executable, str(Path(__file__).with_name(file))]
    subprocess.run(command if is_quick else [*command, "--write"], check=True)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
