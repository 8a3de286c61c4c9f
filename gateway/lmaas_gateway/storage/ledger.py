"""The books: every call once, and what calls came to, day by day, in the same transaction."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec.structs import asdict
from sqlalchemy import BigInteger, and_, cast, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import LedgerEntry, Usage
from lmaas_gateway.storage.tables import ledger, usage_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

    Insert = sqlite.Insert | postgresql.Insert

Grouping: TypeAlias = Literal["organization_id", "project_id", "key_id", "model", "day"]

DAY_US = 86_400_000_000
_SUMS = (
    "calls",
    "failed_calls",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "duration_us",
    "busy_ns",
    "cost_nanos",
)
_FROM_ENTRY = _SUMS[2:]
_KEY = tuple(column.name for column in usage_days.primary_key.columns)
# A client that leaves is no failure of the service.
_WELL = frozenset({"ok", "client_gone", "limited"})


async def record(connection: Connection, entries: Sequence[LedgerEntry]) -> tuple[str, ...]:
    """Book calls, and add them to the days' sums; those that are booked already change nothing.

    Args:
        connection: Of a transaction that writes.
        entries: Of any organizations: each names its own.

    Returns:
        The ids of those that were new.
    """
    # In the order of their ids, so that of two processes which book the same calls none waits for the other
    # while that waits for it.
    by_id = {entry.id: entry for entry in sorted(entries, key=lambda entry: entry.id)}
    if not by_id:
        return ()
    statement = _insert_into_ledger(connection).on_conflict_do_nothing().returning(ledger.c.id)
    found = await connection.execute(statement, [asdict(entry) for entry in by_id.values()])
    new = tuple(found.scalars())
    await _add_to_days(connection, (by_id[entry_id] for entry_id in new))
    return new


async def usage(
    connection: Connection,
    organization_id: str,
    *,
    first_day: int,
    last_day: int,
    by: Sequence[Grouping] = (),
    project_id: str | None = None,
    key_id: str | None = None,
    model: str | None = None,
) -> tuple[Usage, ...]:
    """Sum what an organization used, from one day to another, both included.

    Args:
        connection: Of any transaction; with more time than a call has.
        organization_id: Whose.
        first_day: Its number since 1970, in UTC.
        last_day: The same.
        by: What to tell apart; the sums are in this order.
        project_id: Only of this project.
        key_id: Only of this key.
        model: Only of this model.
    """
    where = usage_days.c.organization_id == organization_id
    for column, value in (("project_id", project_id), ("key_id", key_id), ("model", model)):
        if value is not None:
            where = and_(where, usage_days.c[column] == value)
    return await _sum(connection, where, first_day, last_day, by)


async def usage_of_all(
    connection: Connection, *, first_day: int, last_day: int, by: Sequence[Grouping] = ("organization_id",)
) -> tuple[Usage, ...]:
    """Sum what all organizations used: for operators of the whole gateway. As `usage`."""
    return await _sum(connection, usage_days.c.day.is_not(None), first_day, last_day, by)


async def find(connection: Connection, organization_id: str, entry_id: str) -> LedgerEntry | None:
    """Give one call of an organization."""
    statement = rows.select_as(LedgerEntry, ledger).where(
        ledger.c.organization_id == organization_id, ledger.c.id == entry_id
    )
    return await rows.find(connection, LedgerEntry, statement)


async def list_of(
    connection: Connection,
    organization_id: str,
    *,
    since: int,
    until: int,
    project_id: str | None = None,
    after: tuple[int, str] | None = None,
    limit: int = rows.MAX_PAGE,
) -> Page[LedgerEntry]:
    """List the calls of an organization, the oldest first: for exports, part by part.

    Args:
        connection: Of any transaction.
        organization_id: Whose.
        since: The first time that is included.
        until: The first that is not.
        project_id: Only of this project.
        after: `at` and `id` of the last call of the part before.
        limit: How many at most.
    """
    place = (ledger.c.at, ledger.c.id)
    where: ColumnElement[bool] = and_(
        ledger.c.organization_id == organization_id, ledger.c.at >= since, ledger.c.at < until
    )
    if project_id is not None:
        where = and_(where, ledger.c.project_id == project_id)
    if after is not None:
        where = and_(where, tuple_(*place) > tuple_(*after))
    statement = rows.select_as(LedgerEntry, ledger).where(where).order_by(*place)
    return await rows.cut(connection, LedgerEntry, statement, limit)


async def drop_before(connection: Connection, at: int, limit: int = rows.MAX_PAGE) -> int:
    """Delete up to `limit` calls of any organization from before a time; the days' sums stay. Count them."""
    return await rows.remove_some(connection, ledger, ledger.c.at < at, limit)


async def _sum(
    connection: Connection,
    where: ColumnElement[bool],
    first_day: int,
    last_day: int,
    by: Sequence[Grouping],
) -> tuple[Usage, ...]:
    groups = [usage_days.c[name] for name in by]
    # PostgreSQL's sum of big integers is a decimal number.
    sums = [cast(func.coalesce(func.sum(usage_days.c[name]), 0), BigInteger).label(name) for name in _SUMS]
    statement = select(*groups, *sums).where(where, usage_days.c.day.between(first_day, last_day))
    if groups:
        statement = statement.group_by(*groups).order_by(*groups)
    return await rows.list_all(connection, Usage, statement)


async def _add_to_days(connection: Connection, entries: Iterable[LedgerEntry]) -> None:
    sums: defaultdict[tuple[str, int, str, str, str], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(_SUMS, 0)
    )
    for entry in entries:
        day = sums[entry.organization_id, entry.at // DAY_US, entry.project_id, entry.key_id, entry.model]
        day["calls"] += 1
        day["failed_calls"] += entry.outcome not in _WELL
        for name in _FROM_ENTRY:
            day[name] += getattr(entry, name)
    if not sums:
        return
    # Sorted for the same reason as the calls: these rows are everybody's.
    values = [{**dict(zip(_KEY, key, strict=True)), **sums[key]} for key in sorted(sums)]
    insert = _insert_into_days(connection)
    added = {name: usage_days.c[name] + insert.excluded[name] for name in _SUMS}
    await connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=added), values)


def _insert_into_ledger(connection: Connection) -> Insert:
    return sqlite.insert(ledger) if connection.dialect == "sqlite" else postgresql.insert(ledger)


def _insert_into_days(connection: Connection) -> Insert:
    return sqlite.insert(usage_days) if connection.dialect == "sqlite" else postgresql.insert(usage_days)
