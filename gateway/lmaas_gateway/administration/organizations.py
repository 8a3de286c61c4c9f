"""Organizations: operators make and archive them; owners rename their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.office import page_of, seconds, seconds_or_none
from lmaas_gateway.errors import BadRequestError, IdempotencyMismatchError
from lmaas_gateway.storage import erasure, organizations
from lmaas_gateway.storage.records import Organization

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage.loan import Connection


class Organizations:
    """The tenants themselves.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def list(self, actor: Actor, wanted: requests.Paging) -> objects.Page[objects.Organization]:
        """List all for operators, its own for anybody else."""
        actor.require("organization:read")
        async with self._office.reading() as connection:
            if not actor.is_operator:
                return objects.Page(data=[_show(await _find(connection, actor.tenant))])
            found = await organizations.list_all(connection, after=wanted.after, limit=wanted.limit)
        return page_of(found, _show, lambda one: one.id)

    async def create(self, actor: Actor, wanted: requests.CreateOrganization) -> objects.Organization:
        """Make an organization."""
        actor.require_operator()
        made = Organization(
            id=self._office.new_id("org_", actor), name=wanted.name, created_at=self._office.now_us()
        )
        async with self._office.changing() as connection:
            earlier = await organizations.find(connection, made.id)
            if earlier is not None:
                return _repeat(earlier, wanted)
            await organizations.create(connection, made)
            await self._office.note(
                connection, actor, "organizations.create", ("organization", made.id), name=made.name
            )
        return _show(made)

    async def show(self, actor: Actor, id_: str) -> objects.Organization:
        """Show an organization."""
        actor.require("organization:read")
        _require_own(actor, id_)
        async with self._office.reading() as connection:
            return _show(await _find(connection, id_))

    async def change(
        self, actor: Actor, id_: str, wanted: requests.ChangeOrganization
    ) -> objects.Organization:
        """Rename an organization."""
        actor.require("organization:write")
        actor.require_unbound()
        _require_own(actor, id_)
        async with self._office.changing() as connection:
            old = await _find(connection, id_)
            if wanted.name is UNSET or wanted.name == old.name:
                return _show(old)
            await organizations.rename(connection, id_, wanted.name)
            changed = await _find(connection, id_)
            await self._office.note(
                connection,
                actor,
                "organizations.change",
                ("organization", id_),
                name=wanted.name,
                old_name=old.name,
            )
        return _show(changed)

    async def archive(self, actor: Actor, id_: str) -> objects.Organization:
        """Put an organization out of service; its keys work no more."""
        actor.require_operator()
        async with self._office.changing() as connection:
            await _find(connection, id_)
            if await organizations.archive(connection, id_, self._office.now_us()):
                await self._office.note(connection, actor, "organizations.archive", ("organization", id_))
            archived = await _find(connection, id_)
        await self._office.announce()
        return _show(archived)

    async def erase(self, actor: Actor, id_: str, wanted: requests.Erase) -> objects.Erased:
        """Destroy the keys of what was stored, and so the contents at once; then delete all rows of calls."""
        actor.require("organization:erase")
        actor.require_unbound()
        _require_own(actor, id_)
        async with self._office.changing() as connection:
            found = await _find(connection, id_)
            if found.name != wanted.confirm:
                raise BadRequestError("`confirm` must be the organization's name.", param="confirm")
            shredded = await erasure.shred(connection, id_, self._office.now_us())
            await self._office.note(
                connection,
                actor,
                "organizations.erase",
                ("organization", id_),
                data_keys=shredded.data_keys,
            )
        erased = await erasure.erase_rows(self._office.database, id_)
        return objects.Erased(
            id=id_,
            contents=erased.contents,
            data_keys=shredded.data_keys,
            ledger_rows=erased.ledger_rows,
            feedback=erased.feedback,
        )


def _require_own(actor: Actor, id_: str) -> None:
    if not actor.is_operator and id_ != actor.organization:
        raise no_such("organization", id_)


async def _find(connection: Connection, id_: str) -> Organization:
    found = await organizations.find(connection, id_)
    if found is None:
        raise no_such("organization", id_)
    return found


def _repeat(earlier: Organization, wanted: requests.CreateOrganization) -> objects.Organization:
    if earlier.name != wanted.name:
        raise IdempotencyMismatchError("This `Idempotency-Key` made another organization; send a new one.")
    return _show(earlier)


def _show(record: Organization) -> objects.Organization:
    return objects.Organization(
        id=record.id,
        name=record.name,
        created_at=seconds(record.created_at),
        archived_at=seconds_or_none(record.archived_at),
    )
