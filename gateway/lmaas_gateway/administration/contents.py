"""Stored contents: which calls have some, and, for who is then named in the audit trail, what they are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.office import page_of, seconds
from lmaas_gateway.errors import VaultError
from lmaas_gateway.storage import contents

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage import records
    from lmaas_gateway.storage.loan import Connection


_LOG = logging.getLogger("lmaas.gateway")


class Exchange(Protocol):
    """What was asked and answered, as the bytes were."""

    @property
    def request(self) -> bytes:
        """The body that came."""
        ...

    @property
    def reply(self) -> bytes:
        """The body, or the events, that went."""
        ...


class Kept(Protocol):
    """An exchange, and whose it is."""

    @property
    def exchange(self) -> Exchange:
        """It."""
        ...


class Archive(Protocol):
    """Opens contents."""

    async def read(
        self, connection: Connection, organization_id: str, ledger_id: str, *, actor: str
    ) -> Kept | None:
        """Open one, and write down who did, in the same transaction; None if there is none."""
        ...


class Contents:
    """The contents of the actor's organization.

    Args:
        office: Has the store.
        archive: Opens contents; None where none are ever stored.
    """

    def __init__(self, office: Office, archive: Archive | None) -> None:
        self._office = office
        self._archive = archive

    async def list(self, actor: Actor, wanted: requests.ListContents) -> objects.Page[objects.Content]:
        """List which calls have contents, the newest first, without showing any."""
        actor.require("contents:read")
        if wanted.project is not None:
            actor.require_project(wanted.project)
        async with self._office.reading() as connection:
            found = await contents.list_of(
                connection,
                actor.tenant,
                project_id=wanted.project or actor.bound_to or None,
                after=wanted.after,
                limit=wanted.limit,
            )
        return page_of(found, _show, lambda content: content.ledger_id)

    async def show(self, actor: Actor, id_: str) -> objects.Content:
        """Show what was asked and answered in one call, once the reading is in the audit trail."""
        actor.require("contents:read")
        async with self._office.changing() as connection:
            found = await contents.find(connection, actor.tenant, id_)
            if found is None or actor.bound_to not in {"", found.project_id}:
                raise no_such("content", id_)
            kept = None
            if self._archive is not None:
                kept = await self._open(self._archive, connection, actor, id_)
            if kept is None:
                raise no_such("content", id_)
        return msgspec.structs.replace(
            _show(found), request=_read(kept.exchange.request), reply=_read(kept.exchange.reply)
        )

    async def _open(self, archive: Archive, connection: Connection, actor: Actor, id_: str) -> Kept | None:
        try:
            return await archive.read(connection, actor.tenant, id_, actor=actor.id)
        except VaultError as error:
            # Of a tenant that is being erased; if not, somebody has changed what is stored.
            _LOG.error("a stored content does not open: %s", error)
            return None


def _show(record: records.Content) -> objects.Content:
    return objects.Content(id=record.ledger_id, project=record.project_id, at=seconds(record.at))


def _read(content: bytes) -> Any:
    """Give JSON as what it holds, and anything else, such as a stream's events, as text."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content.decode("utf-8", "replace")
