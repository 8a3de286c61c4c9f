"""The keys of projects. Of their secrets only seals are kept.

Whatever changes what a key may do notes when (`changed_at`), by which every process learns of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.changes import stamp
from lmaas_gateway.storage.records import Key
from lmaas_gateway.storage.tables import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "Another key has this id; make another one."
_NEVER = 1 << 62


async def create(connection: Connection, key: Key) -> None:
    """Add a key.

    Raises:
        ConflictError: another has its id.
        NotFoundError: its project, or its member, is not there, or is another organization's.
    """
    await rows.add(connection, keys, key, taken=_TAKEN, changed_at=key.created_at)


async def find(connection: Connection, organization_id: str, key_id: str) -> Key | None:
    """Give a key of an organization, whatever its state."""
    return await rows.find(connection, Key, rows.select_as(Key, keys).where(_own(organization_id, key_id)))


async def list_of(
    connection: Connection,
    organization_id: str,
    *,
    project_id: str | None = None,
    member_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page[Key]:
    """List the keys of an organization, or of one of its projects or members, the newest first.

    Raises:
        BadRequestError: `after` is none of them.
    """
    where: ColumnElement[bool] = keys.c.organization_id == organization_id
    if project_id is not None:
        where = and_(where, keys.c.project_id == project_id)
    if member_id is not None:
        where = and_(where, keys.c.member_id == member_id)
    return await rows.newest_first(connection, Key, keys, where, after=after, limit=limit)


async def change(
    connection: Connection,
    organization_id: str,
    key_id: str,
    values: Mapping[str, str | float | None],
    *,
    at: int,
) -> bool:
    """Change what is given; tell whether there is such a key."""
    if not values:
        return await find(connection, organization_id, key_id) is not None
    statement = (
        update(keys).where(_own(organization_id, key_id)).values(**values, changed_at=stamp(connection, at))
    )
    return await rows.write(connection, statement) == 1


async def revoke(connection: Connection, organization_id: str, key_id: str, at: int) -> bool:
    """Let a key be valid no longer; tell whether it was not revoked before."""
    statement = (
        update(keys)
        .where(_own(organization_id, key_id), keys.c.revoked_at.is_(None))
        .values(revoked_at=at, changed_at=stamp(connection, at))
    )
    return await rows.write(connection, statement) == 1


async def rotate(
    connection: Connection, organization_id: str, key_id: str, successor: Key, until: int
) -> bool:
    """Add the key that takes the place of another, which stays valid until `until` at most.

    Returns:
        Whether there was a key to take the place of: one that is neither revoked nor rotated.

    Raises:
        ConflictError: another key has the successor's id.
    """
    statement = (
        update(keys)
        .where(_own(organization_id, key_id), keys.c.revoked_at.is_(None), keys.c.rotated_to.is_(None))
        .values(
            rotated_to=successor.id,
            changed_at=stamp(connection, successor.created_at),
            expires_at=_least(func.coalesce(keys.c.expires_at, _NEVER), until, connection),
        )
    )
    if await rows.write(connection, statement) != 1:
        return False
    await create(connection, successor)
    return True


def _least(one: ColumnElement[int], other: int, connection: Connection) -> ColumnElement[int]:
    """The smaller of the two: what SQL's databases each have a word of their own for."""
    return func.min(one, other) if connection.dialect == "sqlite" else func.least(one, other)


def _own(organization_id: str, key_id: str) -> ColumnElement[bool]:
    return and_(keys.c.organization_id == organization_id, keys.c.id == key_id)
