"""From rows to records and back, the same way for all repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import asdict
from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from lmaas_gateway.errors import BadRequestError, ConflictError, NotFoundError
from lmaas_gateway.storage.records import Page, Record

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row, Select, Table, UpdateBase

    from lmaas_gateway.storage.loan import Connection

RecordT = TypeVar("RecordT", bound=Record)

MAX_PAGE = 1000
_UNIQUE_VIOLATION = "23505"


def select_as(kind: type[Record], table: Table) -> Select[Any]:
    """Select the columns of a record."""
    return select(*(table.c[name] for name in kind.__struct_fields__))


def record_of(kind: type[RecordT], row: Row[Any]) -> RecordT:
    """Make a record of a row that `select_as` selected."""
    return kind(**row._mapping)  # noqa: SLF001  # its public name, as SQLAlchemy documents


async def find(connection: Connection, kind: type[RecordT], statement: Select[Any]) -> RecordT | None:
    """Give the one record that there is, if there is one."""
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else record_of(kind, row)


async def list_all(
    connection: Connection, kind: type[RecordT], statement: Select[Any]
) -> tuple[RecordT, ...]:
    """Give all records of a statement."""
    return tuple(record_of(kind, row) for row in await connection.execute(statement))


async def add(connection: Connection, table: Table, record: Record, *, taken: str, **more: int) -> None:
    """Insert a record.

    Args:
        connection: Of a transaction that writes.
        table: Where it belongs.
        record: All of the row that repositories show.
        taken: What to say if another has what must be a row's own.
        more: Further columns.

    Raises:
        ConflictError: another has.
        NotFoundError: what it refers to is not there, or is another organization's.
    """
    await write(connection, insert(table).values(**asdict(record), **more), taken=taken)


async def write(connection: Connection, statement: UpdateBase, *, taken: str = "It exists already.") -> int:
    """Execute a statement that writes, and count the rows that it changed.

    Raises:
        ConflictError: another row has what must be a row's own.
        NotFoundError: what it refers to is not there, or is another organization's.
    """
    try:
        return (await connection.execute(statement)).rowcount
    except IntegrityError as error:
        if _is_duplicate(error):
            raise ConflictError(taken) from None
        raise NotFoundError("What this refers to does not exist here.") from None


async def newest_first(
    connection: Connection,
    kind: type[RecordT],
    table: Table,
    where: ColumnElement[bool],
    *,
    after: str | None,
    limit: int,
    place: tuple[ColumnElement[Any], ColumnElement[Any]] | None = None,
) -> Page[RecordT]:
    """List by age, from a cursor on; what is made meanwhile moves nothing.

    Args:
        connection: Of any transaction.
        kind: Of the records.
        table: Theirs.
        where: Which of them; the cursor, too, must be one.
        after: The last id of the part before.
        limit: How many at most.
        place: When each was made, and its id; by default `created_at` and `id`.

    Raises:
        BadRequestError: no such record is there to begin after.
    """
    made_at, name = place or (table.c.created_at, table.c.id)
    statement = select_as(kind, table).where(where).order_by(made_at.desc(), name.desc())
    if after is not None:
        cursor = select(made_at, name).where(where, name == after)
        found = (await connection.execute(cursor)).one_or_none()
        statement = statement.where(tuple_(made_at, name) < tuple_(*cursor_values(found)))
    return await cut(connection, kind, statement, limit)


def cursor_values(found: Row[Any] | None) -> tuple[Any, ...]:
    """Give the place of a cursor's row.

    Raises:
        BadRequestError: there is none.
    """
    if found is None:
        raise BadRequestError("`after` names nothing in this list; begin anew without it.", param="after")
    return tuple(found)


async def cut(
    connection: Connection, kind: type[RecordT], statement: Select[Any], limit: int
) -> Page[RecordT]:
    """Give the first records of an ordered statement, and tell whether there are more."""
    size = max(1, min(limit, MAX_PAGE))
    found = await list_all(connection, kind, statement.limit(size + 1))
    return Page(found[:size], has_more=len(found) > size)


async def remove_some(connection: Connection, table: Table, where: ColumnElement[bool], limit: int) -> int:
    """Delete up to `limit` rows, so that one transaction stays short; count them."""
    (key,) = table.primary_key.columns
    some = select(key).where(where).limit(limit).scalar_subquery()
    return (await connection.execute(delete(table).where(key.in_(some)))).rowcount


def _is_duplicate(error: IntegrityError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state == _UNIQUE_VIOLATION if state else "UNIQUE constraint" in str(error.orig)
