"""Numbers that workers share."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lmaas_gateway.board import Seat, SharedBoard, clear_slot

if TYPE_CHECKING:
    from pathlib import Path


def boards(folder: Path, count: int = 3) -> list[SharedBoard]:
    return [SharedBoard(Seat(folder, slot, count)) for slot in range(count)]


def test_every_worker_reads_the_sum_of_what_all_added(tmp_path: Path) -> None:
    numbers = [board.number("calls chat http://a") for board in boards(tmp_path)]
    for amount, number in enumerate(numbers, 5):
        number.add(amount)
    numbers[0].add(-2)
    assert [number.total() for number in numbers] == [16, 16, 16]


def test_numbers_of_other_names_are_apart(tmp_path: Path) -> None:
    board, other, _ = boards(tmp_path)
    board.number("a").add(1)
    assert other.number("b").total() == 0
    assert other.number("a").total() == 1


def test_number_that_is_named_again_goes_on_where_it_was(tmp_path: Path) -> None:
    board = boards(tmp_path)[1]
    first, again = board.number("a"), board.number("a")
    first.add(3)
    again.add(-1)
    assert first.total() == 2


def test_what_a_dead_worker_had_added_is_taken_back(tmp_path: Path) -> None:
    dead, living, _ = boards(tmp_path)
    for name in ("a", "b"):
        dead.number(name).add(7)
        living.number(name).add(1)
    clear_slot(tmp_path, 0)
    assert [living.number(name).total() for name in ("a", "b")] == [1, 1]


def test_nobody_else_may_read_the_numbers(tmp_path: Path) -> None:
    boards(tmp_path)[0].number("a")
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
