"""The table in docs/reliability.md names every test of a fault, and no test that does not exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faults.table import BEGIN, END, ROWS, Result, check_rows, marked_tests, merge, render, replace_table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
KNOWN = {row.id: row for row in ROWS}


MARKED = marked_tests(ROOT / "tests" / "faults")


def table_tests() -> Iterator[tuple[str, str]]:
    """Row and name of every test that the table names."""
    for line in PAGE.partition(BEGIN)[2].partition(END)[0].splitlines():
        if re.match(r"\| [A-Z]\d+ \|", line):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) == 6:
                yield from ((cells[0], name) for name in re.findall(r"`(test_\w+)`", cells[4]))


def test_every_row_has_a_test_or_says_what_it_waits_for() -> None:
    tested = {row for row, _ in MARKED}
    check_rows(tested, KNOWN)
    assert tested == {row.id for row in ROWS if not row.waits_for}


def test_table_names_exactly_the_tests_that_exist() -> None:
    assert set(table_tests()) == MARKED, "run `make faults`"


def test_no_row_of_the_table_has_failed() -> None:
    for row in ROWS:
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {row.id} |"))
        assert "FAILED" not in line
        assert not row.waits_for or f"not yet: {row.waits_for}" in line


def test_rows_that_the_promise_names_exist() -> None:
    promise = PAGE.partition("## The promise")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z]\d+)`", promise))
    assert named
    assert named <= set(KNOWN)
    for name in re.findall(r"`(test_\w+)`", promise):
        assert name in {test for _, test in MARKED}


def test_render_tells_passed_failed_and_not_run() -> None:
    results = [
        Result(("F1",), "tests/faults/test_x.py::test_a[1]", "passed", 1.0),
        Result(("F1", "F2"), "tests/faults/test_x.py::test_a[2]", "passed", 0.25),
        Result(("F3",), "tests/faults/test_x.py::test_b", "failed", 1.0),
    ]
    tests = [("F1", "test_a"), ("F2", "test_a"), ("F2", "test_c"), ("F3", "test_b"), ("F5", "test_c")]
    lines = {line.split(" | ")[0].strip("| "): line for line in render(results, tests).splitlines()}
    assert lines["F1"].endswith("| `test_a` | passed: 2 in 1.2 s |")
    assert lines["F2"].endswith("| `test_a`<br>`test_c` | passed: 2 in 1.2 s; not run: test_c |")
    assert lines["F3"].endswith("| 1 of 1 FAILED |")
    assert lines["F4"].endswith("| not run: no test |")
    assert lines["F5"].endswith("| not run: test_c |")
    assert "not yet" in lines["F35"]


def test_part_that_is_run_again_replaces_its_own_results_and_forgets_what_is_gone() -> None:
    old = [
        Result(("F1",), f"x.py::{name}", "failed", 1.0)
        for name in ("test_a[1]", "test_a[2]", "test_b", "test_c")
    ]
    new = [Result(("F1",), "x.py::test_a[3]", "passed", 1.0)]
    merged = merge(old, new, {"test_a", "test_b"})
    assert [one.test for one in merged] == ["x.py::test_a[3]", "x.py::test_b"]


def test_new_table_takes_the_place_of_the_old_one() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_table(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_test_of_an_unknown_row_is_refused() -> None:
    with pytest.raises(AssertionError, match="no row F99"):
        check_rows(["F99"], KNOWN)
    with pytest.raises(AssertionError, match="said to wait"):
        check_rows(["F35"], KNOWN)
