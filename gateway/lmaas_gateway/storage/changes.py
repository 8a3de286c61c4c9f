"""When keys became others, so that every process can follow.

A key changes with what it stands for: its member, project and organization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, func, literal, select, tuple_, update

from lmaas_gateway.storage.tables import keys

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection

MOST_AT_ONCE = 5000
"""How many changes one query lists."""

Place = tuple[int, str]
"""Of a change among all: its time, and the key's id."""


def stamp(connection: Connection, at: int) -> ColumnElement[int]:
    """Give the time to be written as `changed_at`: `at`, or just after the last if a host's clock is behind.

    Who follows the changes would not see one that lies before what it has seen.
    """
    all_ = keys.alias("all_keys")
    latest = select(func.coalesce(func.max(all_.c.changed_at), 0) + 1).scalar_subquery()
    now = literal(at, BigInteger)
    return func.max(now, latest) if connection.dialect == "sqlite" else func.greatest(now, latest)


async def note_changed(
    connection: Connection,
    organization_id: str,
    at: int,
    *,
    project: str | None = None,
    member: str | None = None,
) -> None:
    """Note that the keys of a project, a member or all of an organization stand for something else now."""
    statement = update(keys).where(keys.c.organization_id == organization_id)
    if project is not None:
        statement = statement.where(keys.c.project_id == project)
    if member is not None:
        statement = statement.where(keys.c.member_id == member)
    await connection.execute(statement.values(changed_at=stamp(connection, at)))


async def find_latest(connection: Connection) -> Place:
    """Give the place of the last change; one before all if there is none."""
    query = select(keys.c.changed_at, keys.c.id).order_by(keys.c.changed_at.desc(), keys.c.id.desc())
    rows = (await connection.execute(query.limit(1))).all()
    return (rows[0].changed_at, rows[0].id) if rows else (0, "")


async def list_after(connection: Connection, place: Place) -> list[Place]:
    """List the changes after a place, in their order; at most `MOST_AT_ONCE`.

    Only which keys: those of an archived organization all change at once, and few of them matter anywhere.
    """
    at = tuple_(keys.c.changed_at, keys.c.id)
    query = select(keys.c.changed_at, keys.c.id).where(at > place).order_by(keys.c.changed_at, keys.c.id)
    rows = (await connection.execute(query.limit(MOST_AT_ONCE))).all()
    return [(row.changed_at, row.id) for row in rows]
