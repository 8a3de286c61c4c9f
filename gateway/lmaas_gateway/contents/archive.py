"""Contents at rest: sealed by whoever writes them, opened only for who is named in the audit trail."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.errors import VaultError
from lmaas_gateway.storage import contents
from lmaas_gateway.storage.records import Content
from lmaas_gateway.vault.sealing import Place, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.audit.trail import Trail
    from lmaas_gateway.contents.data_keys import DataKeys, OpenKey
    from lmaas_gateway.storage.loan import Connection

_FORMAT = "1"
_FAST = 1


class Exchange(msgspec.Struct, frozen=True):
    """What was asked and answered in one call, as the bytes were.

    Attributes:
        request: The body, as it went to the replica.
        reply: The body, or the events of a stream, as they went to the client.
        is_stream: Whether the reply is a stream.
        is_cut: Whether one of them was longer than is kept.
    """

    request: bytes
    reply: bytes
    is_stream: bool = False
    is_cut: bool = False


class Kept(msgspec.Struct, frozen=True):
    """An exchange, and whose it is.

    Attributes:
        ledger_id: Of the call's row in the ledger.
        at: Microseconds since 1970.
    """

    ledger_id: str
    organization_id: str
    project_id: str
    at: int
    exchange: Exchange

    @property
    def size_bytes(self) -> int:
        """What it takes of memory."""
        return len(self.exchange.request) + len(self.exchange.reply)


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Exchange).decode


class Archive:
    """Reads contents.

    Args:
        keys: The data keys.
        trail: Where each reading is written down.
    """

    def __init__(self, keys: DataKeys, trail: Trail) -> None:
        self._keys = keys
        self._trail = trail

    async def read(
        self, connection: Connection, organization_id: str, ledger_id: str, *, actor: str
    ) -> Kept | None:
        """Open the content of a call, and say in the audit trail who did; None if there is none.

        The row of the trail is in the same transaction: show nothing before that has been kept.

        Args:
            connection: In a transaction that writes.
            organization_id: Whose call it must be.
            ledger_id: The call's.
            actor: Who reads.

        Raises:
            VaultError: its key was destroyed, or it is not what was sealed in this place.
        """
        found = await contents.find(connection, organization_id, ledger_id)
        if found is None:
            return None
        key = await self._keys.open(connection, organization_id, found.data_key_id)
        exchange = unseal_content(found, key)
        await self._trail.append(
            connection,
            actor=actor,
            action="contents.show",
            object_kind="content",
            object_id=ledger_id,
            organization_id=organization_id,
            detail={"project": found.project_id},
        )
        return Kept(ledger_id, organization_id, found.project_id, found.at, exchange)


def seal_content(kept: Kept, key: OpenKey) -> Content:
    """Pack and encrypt."""
    packed = zlib.compress(_ENCODE(kept.exchange), _FAST)
    nonce, sealed = seal(key.secret, packed, _place(kept.organization_id, kept.ledger_id, key.id))
    return Content(
        ledger_id=kept.ledger_id,
        organization_id=kept.organization_id,
        project_id=kept.project_id,
        data_key_id=key.id,
        nonce=nonce,
        ciphertext=sealed,
        at=kept.at,
    )


def seal_all(batch: Sequence[Kept], key: OpenKey) -> list[Content]:
    """Pack and encrypt some; for a thread."""
    return [seal_content(kept, key) for kept in batch]


def unseal_content(found: Content, key: OpenKey) -> Exchange:
    """Decrypt and unpack.

    Raises:
        VaultError: it is not what was sealed in this place.
    """
    place = _place(found.organization_id, found.ledger_id, key.id)
    packed = unseal(key.secret, bytes(found.nonce), bytes(found.ciphertext), place)
    try:
        return _DECODE(zlib.decompress(packed))
    except (zlib.error, msgspec.DecodeError) as error:
        raise VaultError(f"the content of {found.ledger_id!r} is not one of this version: {error}") from None


def _place(organization_id: str, ledger_id: str, key_id: str) -> Place:
    return Place(organization_id, "contents", ledger_id, "ciphertext", f"{_FORMAT}/{key_id}")
