"""Who holds a key, or a person's token: what authentication reads.

The only reads that name no organization: it is what they find out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, Select, bindparam, func, select, update

from lmaas_gateway.call import Role
from lmaas_gateway.storage.tables import keys, members, organizations, projects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmaas_gateway.storage.loan import Connection

MOST_AT_ONCE = 500
"""About how many keys one query may ask."""


class KeyScopes(msgspec.Struct, frozen=True):
    """What a key may be used for, as its row says."""

    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    admin: Role | None = None


_SCOPES = msgspec.json.Decoder(KeyScopes)


class KeyHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and what is to be known of whom it stands for.

    Attributes:
        mac: In place of the key.
        role: Of its member, if it has one.
        expires_at: In microseconds, as all times; None for never.
        stores_content: Whether prompts and answers of its project's calls are kept.
        is_closed: Its member is disabled, or its project or organization archived.
    """

    id: str
    organization: str
    project: str
    member: str
    mac: bytes
    pepper_version: int
    scopes: KeyScopes
    weight: float
    priority: str
    role: Role | None
    expires_at: int | None
    revoked_at: int | None
    changed_at: int
    stores_content: bool
    is_closed: bool


class PersonHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A member who comes with a token of an identity provider.

    Attributes:
        project: The only one that it may act in, or the organization's first; empty if there is none.
        is_bound: Whether it may act in no other project.
        is_closed: It is disabled, or its project or organization archived.
    """

    id: str
    organization: str
    project: str
    is_bound: bool
    role: Role
    is_closed: bool


async def find_key(connection: Connection, key_id: str) -> KeyHolder | None:
    """Find a key by its id, which a caller may have made up."""
    rows = (await connection.execute(_holders().where(keys.c.id == key_id))).all()
    return _key_holder(rows[0]) if rows else None


async def find_keys(connection: Connection, key_ids: Sequence[str]) -> list[KeyHolder]:
    """Find several keys by their ids; at most `MOST_AT_ONCE`."""
    rows = (await connection.execute(_holders().where(keys.c.id.in_(key_ids)))).all()
    return [_key_holder(row) for row in rows]


async def find_person(connection: Connection, subject: str) -> PersonHolder | None:
    """Find the member who is recognised by `issuer|sub`."""
    open_ = projects.alias("open")
    first = (
        select(open_.c.id)
        .where(open_.c.organization_id == members.c.organization_id, open_.c.archived_at.is_(None))
        .order_by(open_.c.created_at, open_.c.id)
        .limit(1)
        .correlate(members)
        .scalar_subquery()
    )
    query = (
        select(
            members.c.id,
            members.c.organization_id,
            members.c.project_id,
            members.c.role,
            func.coalesce(members.c.project_id, first).label("acts_in"),
            members.c.disabled_at,
            organizations.c.archived_at,
            projects.c.archived_at.label("project_archived_at"),
        )
        .join_from(members, organizations, members.c.organization_id == organizations.c.id)
        .outerjoin(projects, members.c.project_id == projects.c.id)
        .where(members.c.subject == subject)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return PersonHolder(
        id=row.id,
        organization=row.organization_id,
        project=row.acts_in or "",
        is_bound=row.project_id is not None,
        role=row.role,
        is_closed=_is_any(row.disabled_at, row.archived_at, row.project_archived_at),
    )


async def find_open(connection: Connection, member_ids: Sequence[str]) -> set[str]:
    """Tell which of these members are neither disabled nor of what is archived; at most `MOST_AT_ONCE`."""
    query = (
        select(members.c.id)
        .join_from(members, organizations, members.c.organization_id == organizations.c.id)
        .outerjoin(projects, members.c.project_id == projects.c.id)
        .where(members.c.id.in_(member_ids), members.c.disabled_at.is_(None))
        .where(organizations.c.archived_at.is_(None), projects.c.archived_at.is_(None))
    )
    return set((await connection.execute(query)).scalars())


async def note_used(connection: Connection, times: Mapping[str, int]) -> None:
    """Note when keys were last used; a time that is later stays."""
    # In the order of their ids, so that two processes never wait for each other.
    uses = [{"key": key_id, "at": at} for key_id, at in sorted(times.items())]
    if uses:
        is_earlier = func.coalesce(keys.c.last_used_at, 0) < bindparam("at")
        statement = update(keys).where(keys.c.id == bindparam("key"), is_earlier)
        await connection.execute(statement.values(last_used_at=bindparam("at")), uses)


def _holders() -> Select[Any]:
    return (
        select(
            keys,
            members.c.role,
            members.c.disabled_at,
            projects.c.stores_content,
            projects.c.archived_at.label("project_archived_at"),
            organizations.c.archived_at.label("organization_archived_at"),
        )
        .join_from(keys, projects, keys.c.project_id == projects.c.id)
        .join(organizations, keys.c.organization_id == organizations.c.id)
        .outerjoin(members, keys.c.member_id == members.c.id)
    )


def _key_holder(row: Row[Any]) -> KeyHolder:
    return KeyHolder(
        id=row.id,
        organization=row.organization_id,
        project=row.project_id,
        member=row.member_id or "",
        mac=bytes(row.mac),
        pepper_version=row.pepper_version,
        scopes=_SCOPES.decode(row.scopes),
        weight=row.weight,
        priority=row.priority,
        role=row.role,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        changed_at=row.changed_at,
        stores_content=bool(row.stores_content),
        is_closed=_is_any(row.disabled_at, row.project_archived_at, row.organization_archived_at),
    )


def _is_any(*times: int | None) -> bool:
    return any(time is not None for time in times)
