"""Make the limiter of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.limits.stage import Limiter
from lmaas_gateway.limits.stores import LocalStore
from lmaas_gateway.limits.table import Table, prepare_table

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.board import Seat
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import Settings

_TABLE = "limits.table"


def build_limiter(settings: Settings, metrics: Metrics, seat: Seat | None = None) -> Limiter:
    """Count in this process alone, or in the table that the workers of one host share."""
    if seat is None:
        table = Table.in_memory(settings.limits.max_counters)
    else:
        table = Table.in_file(seat.folder / _TABLE, slot=seat.slot, is_shared=True)
    return Limiter(settings.limits, LocalStore(table), metrics)


def prepare_shared(settings: Settings, folder: Path) -> None:
    """Make the table that the workers of one host will share, before they start."""
    prepare_table(folder / _TABLE, settings.limits.max_counters)


def free_slot(folder: Path, slot: int) -> None:
    """Take back what a worker that died held."""
    Table.in_file(folder / _TABLE, is_shared=True).free_slot(slot)
