"""What callers said of replies: a row for each of them and each call, and sums by model and day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import asdict
from sqlalchemy import BigInteger, case, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import FeedbackTotal, LabelTotal
from lmaas_gateway.storage.tables import feedback

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.day_part import DayPart
    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Feedback

_DAY_US = 86_400_000_000
_REPLACED = ("thumbs", "score", "label", "at")


async def put(connection: Connection, said: Feedback) -> None:
    """Keep what somebody said of a call, in the place of what the same one said of it before."""
    insert = sqlite.insert(feedback) if connection.dialect == "sqlite" else postgresql.insert(feedback)
    replaced = {name: insert.excluded[name] for name in _REPLACED}
    await connection.execute(
        insert.values(**asdict(said)).on_conflict_do_update(index_elements=["id"], set_=replaced)
    )


async def totals(connection: Connection, part: DayPart) -> tuple[FeedbackTotal, ...]:
    """Add up what was said, by day and model of the calls."""
    columns = feedback.c

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return cast(func.coalesce(func.sum(case((condition, 1), else_=0)), 0), BigInteger)

    by = (columns.day, columns.model)
    statement = (
        select(
            *by,
            func.count().label("opinions"),
            count(columns.thumbs > 0).label("thumbs_up"),
            count(columns.thumbs < 0).label("thumbs_down"),
            func.count(columns.score).label("scores"),
            func.coalesce(func.sum(columns.score), 0.0).label("score_sum"),
        )
        .where(part.of(feedback))
        .group_by(*by)
        .order_by(*by)
    )
    return await rows.list_all(connection, FeedbackTotal, statement)


async def labels(connection: Connection, part: DayPart) -> tuple[LabelTotal, ...]:
    """Count labels, by day and model of the calls, the most frequent first."""
    columns = feedback.c
    by = (columns.day, columns.model, columns.label)
    times = func.count().label("times")
    statement = (
        select(*by, times)
        .where(part.of(feedback), columns.label != "")
        .group_by(*by)
        .order_by(columns.day, columns.model, times.desc(), columns.label)
        .limit(rows.MAX_PAGE)
    )
    return await rows.list_all(connection, LabelTotal, statement)


async def drop_before(connection: Connection, at: int, limit: int = rows.MAX_PAGE) -> int:
    """Delete up to `limit` of what was said of calls of days before a time; count them."""
    return await rows.remove_some(connection, feedback, feedback.c.day < at // _DAY_US, limit)


async def erase(connection: Connection, organization_id: str, limit: int = rows.MAX_PAGE) -> int:
    """Delete up to `limit` of an organization's; count them."""
    return await rows.remove_some(connection, feedback, feedback.c.organization_id == organization_id, limit)
