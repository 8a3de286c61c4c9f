"""The list in docs/security.md names tests that exist, and one for each advisory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.partition("<!-- advisories -->")[2].partition("<!-- end")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| advisory")
]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_advisory_has_a_rule_and_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 4
    named = re.findall(r"`(test_\w+)`", row[3])
    assert named
    assert set(named) <= TESTS


def test_every_regression_test_is_in_the_list() -> None:
    text = (ROOT / "tests" / "security" / "test_advisories.py").read_text("utf-8")
    listed = set(re.findall(r"`(test_\w+)`", PAGE))
    assert set(re.findall(r"def (test_\w+)\(", text)) - listed <= {"test_key_in_a_query_is_no_key"}
