"""Where a process counts: alone, in the table of its host, or in the one that outlives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.board import Seat
from lmaas_gateway.limits.build import build_limiter, find_kept, free_slot, prepare_kept, prepare_shared
from lmaas_gateway.limits.rules import Limit
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

COST = [1, 0, 0, 1, 0]
FLIGHT = Limit("key", "k", "calls_in_flight", 5)
DAY = Limit("key", "k", "requests", 5, "day")


def test_workers_share_one_table_and_a_dead_ones_part_is_taken_back(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "open": True})
    prepare_shared(settings, tmp_path)
    tables = [
        build_limiter(settings, Metrics(), Seat(tmp_path, slot, 2), lambda: settings).table
        for slot in range(2)
    ]
    for table in tables:
        assert table is not None
        assert table.reserve([table.counter(FLIGHT)], COST)
    first = tables[0]
    assert first is not None
    assert first.total(first.counter(FLIGHT)) == 2
    free_slot(tmp_path, 1)
    assert first.total(first.counter(FLIGHT)) == 1


def test_kept_table_is_the_one_that_workers_share(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data"})
    assert find_kept(settings) is None
    prepare_kept(settings)
    prepare_shared(settings, tmp_path)
    table = build_limiter(settings, Metrics(), Seat(tmp_path, 0, 1), lambda: settings).table
    assert table is not None
    assert table.reserve([table.counter(DAY)], COST)
    # As at the next start, with one process.
    prepare_kept(settings)
    kept = find_kept(settings)
    assert kept is not None
    again = build_limiter(settings, Metrics(), None, lambda: settings, source=_NoLimits()).table
    assert again is not None
    assert again.total(again.counter(DAY)) == 1


class _NoLimits:
    async def version(self) -> int:
        return 0

    async def load(self, organizations: object) -> list[Limit]:
        return [] if organizations is not None else [DAY]
