"""Projects: what keys belong to, and what is billed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.office import page_of, seconds, seconds_or_none
from lmaas_gateway.errors import IdempotencyMismatchError
from lmaas_gateway.storage import projects
from lmaas_gateway.storage.changes import note_changed
from lmaas_gateway.storage.records import Project

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage.loan import Connection


class Projects:
    """The projects of the actor's organization.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def list(self, actor: Actor, wanted: requests.Paging) -> objects.Page[objects.Project]:
        """List projects, the newest first."""
        actor.require("projects:read")
        async with self._office.reading() as connection:
            if actor.bound_to:
                return objects.Page(data=[_show(await find_project(connection, actor, actor.bound_to))])
            found = await projects.list_of(connection, actor.tenant, after=wanted.after, limit=wanted.limit)
        return page_of(found, _show, lambda project: project.id)

    async def create(self, actor: Actor, wanted: requests.CreateProject) -> objects.Project:
        """Make a project."""
        actor.require("projects:write")
        actor.require_unbound()
        made = Project(
            id=self._office.new_id("proj_", actor),
            organization_id=actor.tenant,
            name=wanted.name,
            stores_content=wanted.stores_content,
            created_at=self._office.now_us(),
        )
        async with self._office.changing() as connection:
            earlier = await projects.find(connection, actor.tenant, made.id)
            if earlier is not None:
                return _repeat(earlier, wanted)
            await projects.create(connection, made)
            await self._office.note(
                connection,
                actor,
                "projects.create",
                ("project", made.id),
                name=made.name,
                stores_content=made.stores_content,
            )
        return _show(made)

    async def show(self, actor: Actor, id_: str) -> objects.Project:
        """Show a project."""
        actor.require("projects:read")
        async with self._office.reading() as connection:
            return _show(await find_project(connection, actor, id_))

    async def change(self, actor: Actor, id_: str, wanted: requests.ChangeProject) -> objects.Project:
        """Rename a project, or say whether its contents are stored."""
        actor.require("projects:write")
        changes = {
            name: value
            for name in ("name", "stores_content")
            if (value := getattr(wanted, name)) is not UNSET
        }
        async with self._office.changing() as connection:
            old = await find_project(connection, actor, id_)
            if not changes:
                return _show(old)
            await projects.change(connection, actor.tenant, id_, **changes)
            await note_changed(connection, actor.tenant, self._office.now_us(), project=id_)
            changed = await find_project(connection, actor, id_)
            await self._office.note(connection, actor, "projects.change", ("project", id_), **changes)
        # What callers' keys stand for is remembered with whether their contents are stored.
        await self._office.announce()
        return _show(changed)

    async def archive(self, actor: Actor, id_: str) -> objects.Project:
        """Put a project out of service; its keys work no more, its books stay."""
        actor.require("projects:write")
        actor.require_unbound()
        async with self._office.changing() as connection:
            await find_project(connection, actor, id_)
            if await projects.archive(connection, actor.tenant, id_, self._office.now_us()):
                await self._office.note(connection, actor, "projects.archive", ("project", id_))
            archived = await find_project(connection, actor, id_)
        await self._office.announce()
        return _show(archived)


async def find_project(connection: Connection, actor: Actor, id_: str) -> Project:
    """Give a project of the actor's organization that its role holds for.

    Raises:
        ObjectNotFoundError: there is none.
    """
    actor.require_project(id_)
    found = await projects.find(connection, actor.tenant, id_)
    if found is None:
        raise no_such("project", id_)
    return found


def _repeat(earlier: Project, wanted: requests.CreateProject) -> objects.Project:
    if (earlier.name, earlier.stores_content) != (wanted.name, wanted.stores_content):
        raise IdempotencyMismatchError("This `Idempotency-Key` made another project; send a new one.")
    return _show(earlier)


def _show(record: Project) -> objects.Project:
    return objects.Project(
        id=record.id,
        organization=record.organization_id,
        name=record.name,
        stores_content=record.stores_content,
        created_at=seconds(record.created_at),
        archived_at=seconds_or_none(record.archived_at),
    )
