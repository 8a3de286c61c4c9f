"""Collects what each row of the table gave; `make faults` prints it and puts it into docs/reliability.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

from faults.table import ROWS, Result, check_rows, render, replace_table

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator, Mapping

_PAGE = "LMAAS_TEST_FAULTS_PAGE"
_KNOWN = {row.id: row for row in ROWS}
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
        check_rows(rows, _KNOWN)
        results = item.config.stash[_RESULTS]
        before = results.get(item.nodeid, Result(rows, item.nodeid, "passed", 0.0))
        outcome = before.outcome if report.outcome == "passed" else report.outcome
        results[item.nodeid] = Result(rows, item.nodeid, outcome, before.seconds + report.duration)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    page = os.environ.get(_PAGE)
    results = tuple(config.stash[_RESULTS].values())
    if page is None or not results:
        return
    table = render(results)
    path = Path(page)
    path.write_text(replace_table(path.read_text("utf-8"), table), "utf-8")
    terminalreporter.section("faults")
    terminalreporter.write_line(table)
