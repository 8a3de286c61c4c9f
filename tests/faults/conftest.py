"""Collects what each row of the table gave; `make faults` prints it and puts it into docs/reliability.md.

Results are kept in results.json, so that a part of the tests may be run again alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import uvloop

from faults.table import Result, marked_tests, merge, render, replace_table

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator, Mapping

_PAGE = "LMAAS_TEST_FAULTS_PAGE"
_FOLDER = Path(__file__).parent
_RESULTS = pytest.StashKey[dict[str, Result]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = {}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    del config, item
    return {"loop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    rows = tuple(row for mark in item.iter_markers("fault") for row in mark.args)
    if rows:
        results = item.config.stash[_RESULTS]
        before = results.get(item.nodeid, Result(rows, item.nodeid, "passed", 0.0))
        outcome = before.outcome if report.outcome == "passed" else report.outcome
        seconds = round(before.seconds + report.duration, 2)
        results[item.nodeid] = Result(rows, item.nodeid, outcome, seconds)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    page, new = os.environ.get(_PAGE), list(config.stash[_RESULTS].values())
    if page is None or not new:
        return
    table = render(_remember(new), marked_tests(_FOLDER))
    path = Path(page)
    path.write_text(replace_table(path.read_text("utf-8"), table), "utf-8")
    terminalreporter.section("faults")
    terminalreporter.write_line(table)


def _remember(new: list[Result]) -> list[Result]:
    path = _FOLDER / "results.json"
    old = msgspec.json.decode(path.read_bytes(), type=list[Result]) if path.exists() else []
    results = merge(old, new, {name for _, name in marked_tests(_FOLDER)})
    lines = ",\n".join(msgspec.json.encode(result).decode() for result in results)
    path.write_text(f"[\n{lines}\n]\n", "utf-8")
    return results
