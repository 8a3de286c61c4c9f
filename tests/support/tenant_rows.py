"""Organizations, projects and keys in a database, for tests that need some."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from lmaas_gateway.storage import keys, organizations, projects
from lmaas_gateway.storage.records import Key, Organization, Project

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database

_numbers = itertools.count(1)


async def new_organization(database: Database, name: str = "") -> Organization:
    """Add an organization."""
    number = next(_numbers)
    organization = Organization(id=f"org_{number}", name=name or f"organization {number}", created_at=number)
    async with database.writing() as connection:
        await organizations.create(connection, organization)
    return organization


async def new_project(database: Database, organization: Organization | None = None) -> Project:
    """Add a project, and its organization if none is given."""
    organization = organization or await new_organization(database)
    number = next(_numbers)
    project = Project(
        id=f"proj_{number}", organization_id=organization.id, name=f"project {number}", created_at=number
    )
    async with database.writing() as connection:
        await projects.create(connection, project)
    return project


async def new_key(database: Database, project: Project | None = None, **fields: Any) -> Key:
    """Add a key, and its project if none is given."""
    project = project or await new_project(database)
    key = key_of(project, **fields)
    async with database.writing() as connection:
        await keys.create(connection, key)
    return key


def key_of(project: Project, **fields: Any) -> Key:
    """A key that is not in the database yet."""
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": f"{number:010}",
        "project_id": project.id,
        "organization_id": project.organization_id,
        "name": f"key {number}",
        "mac": b"seal",
        "pepper_version": 1,
        "last4": "abcd",
        "created_at": number,
    }
    return Key(**(values | fields))
