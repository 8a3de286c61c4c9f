"""The keys of projects. Of their secrets only seals are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, or_, select, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import Credential, Key, Revocation
from lmaas_gateway.storage.tables import keys, members, organizations, projects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "Another key has this id; make another one."
_NEVER = 1 << 62
_HOLDERS = (
    keys.join(projects, projects.c.id == keys.c.project_id)
    .join(organizations, organizations.c.id == keys.c.organization_id)
    .outerjoin(members, members.c.id == keys.c.member_id)
)
_ENDS = (keys.c.revoked_at, projects.c.archived_at, organizations.c.archived_at, members.c.disabled_at)


async def create(connection: Connection, key: Key) -> None:
    """Add a key.

    Raises:
        ConflictError: another has its id.
        NotFoundError: its project, or its member, is not there, or is another organization's.
    """
    await rows.add(connection, keys, key, taken=_TAKEN)


async def find(connection: Connection, organization_id: str, key_id: str) -> Key | None:
    """Give a key of an organization, whatever its state."""
    return await rows.find(connection, Key, rows.select_as(Key, keys).where(_own(organization_id, key_id)))


async def resolve(connection: Connection, key_id: str) -> Credential | None:
    """Give what a caller's key id stands for: here the key says which organization, not the other way."""
    statement = (
        rows.select_as(Key, keys)
        .add_columns(
            or_(*(column.is_not(None) for column in _ENDS[1:])).label("is_suspended"),
            func.coalesce(members.c.role, "").label("role"),
            projects.c.stores_content,
        )
        .select_from(_HOLDERS)
        .where(keys.c.id == key_id)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    fields: dict[str, Any] = dict(row._mapping)  # noqa: SLF001  # its public name
    around = {name: fields.pop(name) for name in ("is_suspended", "role", "stores_content")}
    return Credential(key=Key(**fields), **(around | {"is_suspended": bool(around["is_suspended"])}))


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
    *,
    name: str | None = None,
    scopes: str | None = None,
    weight: float | None = None,
    priority: str | None = None,
    expires_at: int | None = None,
) -> bool:
    """Change what is given; tell whether there is such a key."""
    wanted = {
        "name": name,
        "scopes": scopes,
        "weight": weight,
        "priority": priority,
        "expires_at": expires_at,
    }
    values = {field: value for field, value in wanted.items() if value is not None}
    if not values:
        return await find(connection, organization_id, key_id) is not None
    statement = update(keys).where(_own(organization_id, key_id)).values(values)
    return await rows.write(connection, statement) == 1


async def revoke(connection: Connection, organization_id: str, key_id: str, at: int) -> bool:
    """Let a key be valid no longer; tell whether it was not revoked before."""
    statement = (
        update(keys).where(_own(organization_id, key_id), keys.c.revoked_at.is_(None)).values(revoked_at=at)
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
            expires_at=_least(func.coalesce(keys.c.expires_at, _NEVER), until, connection),
        )
    )
    if await rows.write(connection, statement) != 1:
        return False
    await create(connection, successor)
    return True


async def note_uses(connection: Connection, uses: Iterable[tuple[str, str, int]]) -> None:
    """Note when keys were used last.

    Args:
        connection: Of a transaction that writes.
        uses: Organization, key and time of each; an earlier time than the one that is there changes nothing.
    """
    # In the order of their ids, so that two processes never wait for each other.
    found = [{"o": organization, "k": key, "t": at} for organization, key, at in sorted(uses)]
    if found:
        statement = (
            update(keys)
            .where(
                keys.c.organization_id == bindparam("o"),
                keys.c.id == bindparam("k"),
                func.coalesce(keys.c.last_used_at, 0) < bindparam("t"),
            )
            .values(last_used_at=bindparam("t"))
        )
        await connection.execute(statement, found)


async def revoked_since(connection: Connection, since: int) -> tuple[Revocation, ...]:
    """List the keys of all organizations that ceased to be valid at `since` or later.

    Those whose project or organization was archived, or whose member was disabled, are among them.
    """
    found: dict[str, Revocation] = {}
    for ended in _ENDS:
        statement = (
            select(keys.c.id, keys.c.organization_id, ended.label("at"))
            .select_from(_HOLDERS)
            .where(ended >= since)
        )
        for row in await connection.execute(statement):
            found[row.id] = Revocation(key_id=row.id, organization_id=row.organization_id, at=row.at)
    return tuple(found.values())


def _least(one: ColumnElement[int], other: int, connection: Connection) -> ColumnElement[int]:
    """The smaller of the two: what SQL's databases each have a word of their own for."""
    return func.min(one, other) if connection.dialect == "sqlite" else func.least(one, other)


def _own(organization_id: str, key_id: str) -> ColumnElement[bool]:
    return and_(keys.c.organization_id == organization_id, keys.c.id == key_id)
