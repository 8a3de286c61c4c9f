"""Members: people and service accounts, and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec import UNSET

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.office import page_of, seconds, seconds_or_none
from lmaas_gateway.administration.projects import find_project
from lmaas_gateway.errors import BadRequestError, ConflictError, IdempotencyMismatchError
from lmaas_gateway.storage import members
from lmaas_gateway.storage.records import Member

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.fields import Kind, Role
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage.loan import Connection

_PREFIXES = {"person": "user_", "service": "svc_"}


class Members:
    """The members of the actor's organization.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def list(self, actor: Actor, wanted: requests.ListMembers) -> objects.Page[objects.Member]:
        """List members, the newest first."""
        actor.require("members:read")
        project = actor.bound_to or wanted.project
        async with self._office.reading() as connection:
            found = await members.list_of(
                connection, actor.tenant, project_id=project, after=wanted.after, limit=wanted.limit
            )
        return page_of(found, _show, lambda member: member.id)

    async def create(self, actor: Actor, wanted: requests.CreateMember) -> objects.Member:
        """Add a member with a role that is not above the actor's."""
        actor.require("members:write")
        actor.require_rank(wanted.role)
        if wanted.subject is not None and wanted.kind == "service":
            raise BadRequestError("Service accounts do not sign in; they have keys.", param="subject")
        made = Member(
            id=self._office.new_id(_PREFIXES[wanted.kind], actor),
            organization_id=actor.tenant,
            kind=wanted.kind,
            name=wanted.name,
            subject=wanted.subject,
            role=wanted.role,
            project_id=wanted.project or actor.bound_to or None,
            created_at=self._office.now_us(),
        )
        async with self._office.changing() as connection:
            earlier = await members.find(connection, actor.tenant, made.id)
            if earlier is not None:
                return _repeat(earlier, made)
            if made.project_id is not None:
                await find_project(connection, actor, made.project_id)
            await members.create(connection, made)
            await self._office.note(
                connection,
                actor,
                "members.create",
                ("member", made.id),
                name=made.name,
                role=made.role,
                project=made.project_id,
            )
        return _show(made)

    async def show(self, actor: Actor, id_: str) -> objects.Member:
        """Show a member."""
        actor.require("members:read")
        async with self._office.reading() as connection:
            return _show(await find_member(connection, actor, id_))

    async def change(self, actor: Actor, id_: str, wanted: requests.ChangeMember) -> objects.Member:
        """Change a member's name, role or project, or let it work, or not."""
        actor.require("members:write")
        async with self._office.changing() as connection:
            old = await find_member(connection, actor, id_)
            actor.require_rank(cast("Role", old.role))
            changes = await self._changes(connection, actor, wanted)
            if not changes:
                return _show(old)
            await members.change(connection, actor.tenant, id_, changes, at=self._office.now_us())
            changed = await find_member(connection, actor, id_)
            await _require_owner_left(connection, old, changed)
            await self._office.note(connection, actor, "members.change", ("member", id_), **changes)
        await self._office.announce()
        return _show(changed)

    async def disable(self, actor: Actor, id_: str) -> objects.Member:
        """Let a member, and its keys, do nothing any more."""
        actor.require("members:write")
        async with self._office.changing() as connection:
            old = await find_member(connection, actor, id_)
            actor.require_rank(cast("Role", old.role))
            if await members.disable(connection, actor.tenant, id_, self._office.now_us()):
                disabled = await find_member(connection, actor, id_)
                await _require_owner_left(connection, old, disabled)
                await self._office.note(connection, actor, "members.disable", ("member", id_))
            disabled = await find_member(connection, actor, id_)
        await self._office.announce()
        return _show(disabled)

    async def _changes(
        self, connection: Connection, actor: Actor, wanted: requests.ChangeMember
    ) -> dict[str, str | int | None]:
        changes: dict[str, str | int | None] = {}
        if wanted.name is not UNSET:
            changes["name"] = wanted.name
        if wanted.role is not UNSET:
            actor.require_rank(wanted.role)
            changes["role"] = wanted.role
        if wanted.project is not UNSET:
            if wanted.project is None:
                actor.require_unbound()
            else:
                await find_project(connection, actor, wanted.project)
            changes["project_id"] = wanted.project
        if wanted.disabled is not UNSET:
            changes["disabled_at"] = self._office.now_us() if wanted.disabled else None
        return changes


async def find_member(connection: Connection, actor: Actor, id_: str) -> Member:
    """Give a member of the actor's organization, and of the project that its role holds for.

    Raises:
        ObjectNotFoundError: there is none.
    """
    found = await members.find(connection, actor.tenant, id_)
    if found is None or actor.bound_to not in {"", found.project_id}:
        raise no_such("member", id_)
    return found


async def _require_owner_left(connection: Connection, old: Member, new: Member) -> None:
    """Undo what would leave an organization without an owner."""
    was_owner = old.role == "owner" and old.disabled_at is None
    is_owner = new.role == "owner" and new.disabled_at is None
    if was_owner and not is_owner and not await members.count_owners(connection, old.organization_id):
        raise ConflictError("This is the last owner of the organization; make another member one first.")


def _repeat(earlier: Member, wanted: Member) -> objects.Member:
    if (earlier.name, earlier.subject) != (wanted.name, wanted.subject):
        raise IdempotencyMismatchError("This `Idempotency-Key` made another member; send a new one.")
    return _show(earlier)


def _show(record: Member) -> objects.Member:
    return objects.Member(
        id=record.id,
        organization=record.organization_id,
        kind=cast("Kind", record.kind),
        name=record.name,
        role=cast("Role", record.role),
        subject=record.subject,
        project=record.project_id,
        created_at=seconds(record.created_at),
        disabled_at=seconds_or_none(record.disabled_at),
    )
