"""The tenants themselves. Only operators of the whole gateway list or make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import true, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.changes import note_changed
from lmaas_gateway.storage.records import Organization
from lmaas_gateway.storage.tables import organizations

if TYPE_CHECKING:
    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "Another organization has this name; choose another one."


async def create(connection: Connection, organization: Organization) -> None:
    """Add an organization.

    Raises:
        ConflictError: another has its name.
    """
    await rows.add(connection, organizations, organization, taken=_TAKEN)


async def find(connection: Connection, organization_id: str) -> Organization | None:
    """Give an organization, an archived one too."""
    statement = rows.select_as(Organization, organizations).where(organizations.c.id == organization_id)
    return await rows.find(connection, Organization, statement)


async def list_all(
    connection: Connection, *, after: str | None = None, limit: int = 100
) -> Page[Organization]:
    """List all organizations, the newest first.

    Raises:
        BadRequestError: `after` is none of them.
    """
    return await rows.newest_first(connection, Organization, organizations, true(), after=after, limit=limit)


async def rename(connection: Connection, organization_id: str, name: str) -> bool:
    """Give an organization another name; tell whether there is such an organization.

    Raises:
        ConflictError: another has it.
    """
    statement = update(organizations).where(organizations.c.id == organization_id).values(name=name)
    return await rows.write(connection, statement, taken=_TAKEN) == 1


async def archive(connection: Connection, organization_id: str, at: int) -> bool:
    """Put an organization out of service; its keys are valid no longer. Tell whether it was in service."""
    statement = (
        update(organizations)
        .where(organizations.c.id == organization_id, organizations.c.archived_at.is_(None))
        .values(archived_at=at)
    )
    await note_changed(connection, organization_id, at)
    return await rows.write(connection, statement) == 1
