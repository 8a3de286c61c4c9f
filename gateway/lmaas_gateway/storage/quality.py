"""What was seen of replies, by day, project and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import asdict
from sqlalchemy import BigInteger, cast, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import QualityDay, QualityTotal
from lmaas_gateway.storage.tables import quality_days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.storage.day_part import DayPart
    from lmaas_gateway.storage.loan import Connection

_KEY = tuple(column.name for column in quality_days.primary_key.columns)
_SUMS = tuple(name for name in QualityDay.__struct_fields__ if name not in _KEY)


async def add(connection: Connection, days: Sequence[QualityDay]) -> None:
    """Add counts to those that are there."""
    # Sorted, so that of two processes none waits for the other while that waits for it.
    values = sorted((asdict(day) for day in days), key=lambda row: [str(row[name]) for name in _KEY])
    insert = (sqlite if connection.dialect == "sqlite" else postgresql).insert(quality_days)
    added = {name: quality_days.c[name] + insert.excluded[name] for name in _SUMS}
    if values:
        await connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=added), values)


async def totals(connection: Connection, part: DayPart) -> tuple[QualityTotal, ...]:
    """Add counts up, by day and model."""
    by = (quality_days.c.day, quality_days.c.model)
    # PostgreSQL's sum of big integers is a decimal number.
    sums = [cast(func.sum(quality_days.c[name]), BigInteger).label(name) for name in _SUMS]
    statement = select(*by, *sums).where(part.of(quality_days)).group_by(*by).order_by(*by)
    return await rows.list_all(connection, QualityTotal, statement)


async def erase(connection: Connection, organization_id: str) -> None:
    """Delete an organization's."""
    await connection.execute(delete(quality_days).where(quality_days.c.organization_id == organization_id))
