"""The books: every call once, and what calls came to, day by day, in the same transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache, partial
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec.structs import astuple
from sqlalchemy import BigInteger, and_, cast, func, literal, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import LedgerEntry, Usage
from lmaas_gateway.storage.tables import ledger, organizations, usage_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy import Connection as SyncConnection

    from lmaas_gateway.storage.engines import Dialect
    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

    Insert = sqlite.Insert | postgresql.Insert

_Group: TypeAlias = tuple[str, int, str, str, str]
_Calls: TypeAlias = "Mapping[str, LedgerEntry]"

Grouping: TypeAlias = Literal["organization_id", "project_id", "key_id", "model", "day"]

DAY_US = 86_400_000_000


class Part(msgspec.Struct, frozen=True):
    """A part of the groups that something is summed by.

    Attributes:
        after: The group that they come after: a value for each column.
        limit: How many at most.
    """

    after: Sequence[str | int] = ()
    limit: int | None = None


_ALL = Part()


_ADDED = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "duration_us",
    "busy_ns",
    "cost_nanos",
)
_SUMS = ("calls", "failed_calls", *_ADDED)
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
    by_id = {entry.id: entry for entry in sorted(entries, key=attrgetter("id"))}
    if not by_id:
        return ()
    insert = _insert_sqlite if connection.dialect == "sqlite" else _insert_postgresql
    new = await insert(connection, by_id)
    await _add_to_days(connection, new.values())
    return tuple(new)


async def usage(  # noqa: PLR0913  # each narrows what is summed
    connection: Connection,
    organization_id: str,
    *,
    first_day: int,
    last_day: int,
    by: Sequence[Grouping] = (),
    project_id: str | None = None,
    key_id: str | None = None,
    model: str | None = None,
    part: Part = _ALL,
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
        part: Of the groups.
    """
    where = usage_days.c.organization_id == organization_id
    for column, value in (("project_id", project_id), ("key_id", key_id), ("model", model)):
        if value is not None:
            where = and_(where, usage_days.c[column] == value)
    days = usage_days.c.day.between(first_day, last_day)
    return await _sum(connection, and_(where, days), by, part)


async def usage_of_all(
    connection: Connection,
    *,
    first_day: int,
    last_day: int,
    by: Sequence[Grouping] = ("organization_id",),
    part: Part = _ALL,
) -> tuple[Usage, ...]:
    """Sum what all organizations used: for operators of the whole gateway. As `usage`."""
    return await _sum(connection, usage_days.c.day.between(first_day, last_day), by, part)


async def find(connection: Connection, organization_id: str, entry_id: str) -> LedgerEntry | None:
    """Give one call of an organization."""
    statement = rows.select_as(LedgerEntry, ledger).where(
        ledger.c.organization_id == organization_id, ledger.c.id == entry_id
    )
    return await rows.find(connection, LedgerEntry, statement)


async def find_request(
    connection: Connection,
    organization_id: str | None,
    request_id: str,
    *,
    project_id: str = "",
    key_id: str = "",
) -> LedgerEntry | None:
    """Give the last call of an organization that its client called so.

    Args:
        connection: Of any transaction.
        organization_id: Whose; None for anybody's, keys of the configuration included.
        request_id: What the client calls it, perhaps more than once.
        project_id: Only of this project, unless it is empty.
        key_id: The same of a key.
    """
    if organization_id is None:
        # The index begins with the organization.
        known = select(organizations.c.id).union_all(select(literal("")))
        owned: ColumnElement[bool] = ledger.c.organization_id.in_(known)
    else:
        owned = ledger.c.organization_id == organization_id
    where: ColumnElement[bool] = and_(owned, ledger.c.request_id == request_id)
    for column, value in ((ledger.c.project_id, project_id), (ledger.c.key_id, key_id)):
        if value:
            where = and_(where, column == value)
    newest = rows.select_as(LedgerEntry, ledger).where(where).order_by(ledger.c.at.desc(), ledger.c.id.desc())
    return await rows.find(connection, LedgerEntry, newest.limit(1))


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
    by: Sequence[Grouping],
    part: Part,
) -> tuple[Usage, ...]:
    groups = [usage_days.c[name] for name in by]
    # PostgreSQL's sum of big integers is a decimal number.
    sums = [cast(func.coalesce(func.sum(usage_days.c[name]), 0), BigInteger).label(name) for name in _SUMS]
    if part.after:
        where = and_(where, tuple_(*groups) > tuple_(*part.after))
    statement = select(*groups, *sums).where(where)
    if groups:
        statement = statement.group_by(*groups).order_by(*groups).limit(part.limit)
    return await rows.list_all(connection, Usage, statement)


async def _add_to_days(connection: Connection, entries: Iterable[LedgerEntry]) -> None:
    groups: defaultdict[_Group, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        key = (entry.organization_id, entry.at // DAY_US, entry.project_id, entry.key_id, entry.model)
        groups[key].append(entry)
    if groups:
        # Sorted for the same reason as the calls: these rows are everybody's.
        values = [
            dict(zip(_KEY, key, strict=True)) | _sum_up(entries) for key, entries in sorted(groups.items())
        ]
        await connection.execute(_add_days(connection.dialect), values)


def _sum_up(entries: Sequence[LedgerEntry]) -> dict[str, int]:
    """Tell what calls of one day came to; column by column, which is quicker than call by call."""
    outcomes = Counter(map(attrgetter("outcome"), entries))
    sums = {name: sum(map(attrgetter(name), entries)) for name in _ADDED}
    failed = len(entries) - sum(outcomes[outcome] for outcome in _WELL)
    return {"calls": len(entries), "failed_calls": failed, **sums}


@cache
def _add_days(dialect: Dialect) -> Insert:
    insert = sqlite.insert(usage_days) if dialect == "sqlite" else postgresql.insert(usage_days)
    added = {name: usage_days.c[name] + insert.excluded[name] for name in _SUMS}
    return insert.on_conflict_do_update(index_elements=_KEY, set_=added)


# A busy gateway books thousands of calls a second, on the loop that serves them: rows go to the driver as
# they are, since SQLAlchemy's own way of inserting many costs several times what the database does.
_COLUMNS = LedgerEntry.__struct_fields__
# Between two statements the driver's thread must have the interpreter's lock, which the loop gives away only
# every few milliseconds while it is busy: row by row, a batch would take seconds. The fewer sizes there are,
# the fewer statements are compiled; SQLite takes up to 32,766 parameters.
_ROWS_AT_ONCE = (500, 50, 5, 1)
_SQLITE_KNOWN = text("SELECT id FROM ledger WHERE id IN (SELECT value FROM json_each(:ids))")
_POSTGRESQL = text(
    f"INSERT INTO ledger ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own columns' names
    f"SELECT {', '.join(_COLUMNS)} FROM json_populate_recordset(NULL::ledger, CAST(:calls AS json)) "
    "ORDER BY id ON CONFLICT DO NOTHING RETURNING id"
)


async def _insert_sqlite(connection: Connection, by_id: _Calls) -> _Calls:
    # Nobody else writes until this transaction ends, so what is not known now is new.
    ids = msgspec.json.encode(list(by_id)).decode()
    known = set((await connection.execute(_SQLITE_KNOWN, {"ids": ids})).scalars())
    new = {entry_id: by_id[entry_id] for entry_id in by_id if entry_id not in known} if known else by_id
    if new:
        await connection.run_sync(partial(_write_sqlite, entries=list(new.values())))
    return new


def _write_sqlite(connection: SyncConnection, entries: Sequence[LedgerEntry]) -> None:
    begin = 0
    for size in _ROWS_AT_ONCE:
        while begin + size <= len(entries):
            values = tuple(chain.from_iterable(map(astuple, entries[begin : begin + size])))
            connection.exec_driver_sql(_insert_many(size), values)
            begin += size


@cache
def _insert_many(rows: int) -> str:
    row = f"({', '.join('?' * len(_COLUMNS))})"
    return f"INSERT INTO ledger ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - likewise


async def _insert_postgresql(connection: Connection, by_id: _Calls) -> _Calls:
    calls = msgspec.json.encode(list(by_id.values())).decode()
    return {
        entry_id: by_id[entry_id]
        for entry_id in (await connection.execute(_POSTGRESQL, {"calls": calls})).scalars()
    }
