"""The table in docs/reliability.md names every test of a fault, and no test that does not exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faults.table import BEGIN, END, ROWS, Result, check_rows, render, replace_table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
KNOWN = {row.id: row for row in ROWS}


def marked_tests() -> Iterator[tuple[str, str]]:
    """Row and name of every test function with the marker `fault`."""
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                        yield from ((ast.literal_eval(row), node.name) for row in mark.args)


def table_tests() -> Iterator[tuple[str, str]]:
    """Row and name of every test that the table names."""
    for line in PAGE.partition(BEGIN)[2].partition(END)[0].splitlines():
        if re.match(r"\| [A-Z]\d+ \|", line):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) == 6:
                yield from ((cells[0], name) for name in re.findall(r"`(test_\w+)`", cells[4]))


def test_every_row_has_a_test_or_says_what_it_waits_for() -> None:
    tested = {row for row, _ in marked_tests()}
    check_rows(tested, KNOWN)
    assert tested == {row.id for row in ROWS if not row.waits_for}


def test_table_names_exactly_the_tests_that_exist() -> None:
    assert set(table_tests()) == set(marked_tests()), "run `make faults`"


def test_every_row_of_the_table_is_passed_or_says_what_it_waits_for() -> None:
    for row in ROWS:
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {row.id} |"))
        assert "passed" in line or f"not yet: {row.waits_for}" in line


def test_rows_that_the_promise_names_exist() -> None:
    promise = PAGE.partition("## The promise")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z]\d+)`", promise))
    assert named
    assert named <= set(KNOWN)
    for name in re.findall(r"`(test_\w+)`", promise):
        assert name in {test for _, test in marked_tests()}


def test_render_tells_passed_failed_and_not_run() -> None:
    results = [
        Result(("F1",), "tests/faults/test_x.py::test_a[1]", "passed", 1.0),
        Result(("F1", "F2"), "tests/faults/test_x.py::test_a[2]", "passed", 0.25),
        Result(("F3",), "tests/faults/test_x.py::test_b", "failed", 1.0),
    ]
    lines = {line.split(" | ")[0].strip("| "): line for line in render(results).splitlines()}
    assert lines["F1"].endswith("| `test_a` | passed: 2 in 1.2 s |")
    assert lines["F3"].endswith("| 1 of 1 FAILED |")
    assert lines["F4"].endswith("| not run |")
    assert "not yet" in lines["F26"]


def test_new_table_takes_the_place_of_the_old_one() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_table(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_test_of_an_unknown_row_is_refused() -> None:
    with pytest.raises(AssertionError, match="no row F99"):
        check_rows(["F99"], KNOWN)
    with pytest.raises(AssertionError, match="said to wait"):
        check_rows(["F26"], KNOWN)
