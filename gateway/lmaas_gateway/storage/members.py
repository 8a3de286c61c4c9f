"""The people and service accounts of organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.changes import note_changed
from lmaas_gateway.storage.records import Member
from lmaas_gateway.storage.tables import members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "Another member signs in as this subject; nobody can be two members."


async def create(connection: Connection, member: Member) -> None:
    """Add a member.

    Raises:
        ConflictError: another signs in as its subject.
        NotFoundError: there is no such organization, or its project is not there.
    """
    await rows.add(connection, members, member, taken=_TAKEN)


async def find(connection: Connection, organization_id: str, member_id: str) -> Member | None:
    """Give a member of an organization, a disabled one too."""
    statement = rows.select_as(Member, members).where(_own(organization_id, member_id))
    return await rows.find(connection, Member, statement)


async def list_of(
    connection: Connection,
    organization_id: str,
    *,
    project_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page[Member]:
    """List the members of an organization, or those bound to one of its projects, the newest first.

    Raises:
        BadRequestError: `after` is none of them.
    """
    where: ColumnElement[bool] = members.c.organization_id == organization_id
    if project_id is not None:
        where = and_(where, members.c.project_id == project_id)
    return await rows.newest_first(connection, Member, members, where, after=after, limit=limit)


async def change(
    connection: Connection,
    organization_id: str,
    member_id: str,
    values: Mapping[str, str | int | None],
    *,
    at: int,
) -> bool:
    """Change what is given; tell whether there is such a member.

    Raises:
        NotFoundError: its project is not there, or is another organization's.
    """
    if not values:
        return await find(connection, organization_id, member_id) is not None
    statement = update(members).where(_own(organization_id, member_id)).values(dict(values))
    await note_changed(connection, organization_id, at, member=member_id)
    return await rows.write(connection, statement) == 1


async def disable(connection: Connection, organization_id: str, member_id: str, at: int) -> bool:
    """Let a member, and its keys, do nothing any more. Tell whether it could."""
    statement = (
        update(members)
        .where(_own(organization_id, member_id), members.c.disabled_at.is_(None))
        .values(disabled_at=at)
    )
    await note_changed(connection, organization_id, at, member=member_id)
    return await rows.write(connection, statement) == 1


async def count_owners(connection: Connection, organization_id: str) -> int:
    """Count those who can still act as owners, so that the last one is not taken away."""
    statement = select(func.count()).where(
        members.c.organization_id == organization_id,
        members.c.role == "owner",
        members.c.disabled_at.is_(None),
    )
    return int((await connection.execute(statement)).scalar_one())


def _own(organization_id: str, member_id: str) -> ColumnElement[bool]:
    return and_(members.c.organization_id == organization_id, members.c.id == member_id)
