"""What all services work with: the store, the audit trail, ids and the time."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from lmaas_gateway.administration import objects

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.audit.trail import Trail
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

RecordT = TypeVar("RecordT")
ShownT = TypeVar("ShownT")

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_CHARS = 20


async def _tell_nobody(*_: str) -> None:
    """Where there is nobody to be told."""


@dataclass(frozen=True, slots=True)
class Office:
    """What all services work with.

    Attributes:
        database: Holds the tenants.
        trail: Takes what was done.
        announce: Tells all processes at once that something ceased to be valid, and which keys did.
        clock: Unix seconds.
    """

    database: Database
    trail: Trail
    announce: Callable[..., Awaitable[None]] = field(default=_tell_nobody)
    clock: Callable[[], float] = time.time

    def reading(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection to read with."""
        return self.database.reading(deadline_s=self.database.admin_deadline_s)

    def changing(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for a change and its row of the audit trail: both are kept, or neither is."""
        return self.database.writing(deadline_s=self.database.admin_deadline_s)

    async def note(
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        object_: tuple[str, str],
        **detail: Any,
    ) -> None:
        """Append what is being done to the audit trail; the last thing in a transaction.

        Args:
            connection: Of the change.
            actor: Who does it.
            action: The operation's name.
            object_: Kind and id of what it is done to.
            **detail: What else is to be known; never a secret.
        """
        kind, id_ = object_
        await self.trail.append(
            connection,
            actor=actor.id,
            action=action,
            object_kind=kind,
            object_id=id_,
            organization_id=actor.organization or None,
            detail=detail,
        )

    def now_us(self) -> int:
        """Give the time as the store keeps it."""
        return int(self.clock() * 1e6)

    def new_id(self, prefix: str, actor: Actor, *, chars: int = _ID_CHARS) -> str:
        """Make an id. The same request, sent again with its `Idempotency-Key`, gets the same one."""
        if not actor.idempotency_key:
            return prefix + "".join(secrets.choice(_BASE62) for _ in range(chars))
        said = "\0".join((prefix, actor.organization, actor.id, actor.idempotency_key))
        number = int.from_bytes(hashlib.sha256(said.encode()).digest(), "big")
        digits = []
        for _ in range(chars):
            number, digit = divmod(number, len(_BASE62))
            digits.append(_BASE62[digit])
        return prefix + "".join(digits)


def page_of(
    found: Page[RecordT], show: Callable[[RecordT], ShownT], id_of: Callable[[RecordT], str]
) -> objects.Page[ShownT]:
    """Show a part of a listing."""
    data = [show(record) for record in found.items]
    last_id = id_of(found.items[-1]) if found.items else None
    return objects.Page(data=data, has_more=found.has_more, last_id=last_id)


def seconds(at_us: int) -> int:
    """Give a time of the store as the API shows it."""
    return at_us // 10**6


def seconds_or_none(at_us: int | None) -> int | None:
    """Give a time that may be none."""
    return None if at_us is None else seconds(at_us)
