"""The projects of organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.changes import note_changed
from lmaas_gateway.storage.records import Project
from lmaas_gateway.storage.tables import projects

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "Another project of the organization has this name; choose another one."


async def create(connection: Connection, project: Project) -> None:
    """Add a project.

    Raises:
        ConflictError: another of its organization has its name.
        NotFoundError: there is no such organization.
    """
    await rows.add(connection, projects, project, taken=_TAKEN)


async def find(connection: Connection, organization_id: str, project_id: str) -> Project | None:
    """Give a project of an organization, an archived one too."""
    statement = rows.select_as(Project, projects).where(_own(organization_id, project_id))
    return await rows.find(connection, Project, statement)


async def list_of(
    connection: Connection, organization_id: str, *, after: str | None = None, limit: int = 100
) -> Page[Project]:
    """List the projects of an organization, the newest first.

    Raises:
        BadRequestError: `after` is none of them.
    """
    return await rows.newest_first(
        connection,
        Project,
        projects,
        projects.c.organization_id == organization_id,
        after=after,
        limit=limit,
    )


async def change(
    connection: Connection,
    organization_id: str,
    project_id: str,
    *,
    name: str | None = None,
    stores_content: bool | None = None,
) -> bool:
    """Change what is given; tell whether there is such a project.

    Raises:
        ConflictError: another of the organization has the name.
    """
    wanted = {"name": name, "stores_content": stores_content}
    values = {field: value for field, value in wanted.items() if value is not None}
    if not values:
        return await find(connection, organization_id, project_id) is not None
    statement = update(projects).where(_own(organization_id, project_id)).values(values)
    return await rows.write(connection, statement, taken=_TAKEN) == 1


async def archive(connection: Connection, organization_id: str, project_id: str, at: int) -> bool:
    """Put a project out of service; its keys are valid no longer. Tell whether it was in service."""
    statement = (
        update(projects)
        .where(_own(organization_id, project_id), projects.c.archived_at.is_(None))
        .values(archived_at=at)
    )
    await note_changed(connection, organization_id, at, project=project_id)
    return await rows.write(connection, statement) == 1


def _own(organization_id: str, project_id: str) -> ColumnElement[bool]:
    return and_(projects.c.organization_id == organization_id, projects.c.id == project_id)
