"""The chain: each row is sealed together with the seal of the row before it.

Who cannot make seals can neither change a row, nor take one out, nor put one in, without a break that shows.
That the last rows are missing, or that all were made anew by one who can, shows at checkpoints.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lmaas_gateway.vault.vault import Vault

_FORMAT = b"lmaas audit row 1"
_VERSION_BYTES = 2
GENESIS = b""
"""What the first row follows on."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        at: Microseconds since 1970, by a clock that may jump: `seq` alone says the order.
        organization_id: Whose it is; None if it concerns the whole gateway.
        actor: Who did it: the id of a member or of a key, or a name of the operator's.
        action: As in `keys.create`.
        detail: JSON of what else is to be known; never a secret or a content.
    """

    at: int
    organization_id: str | None
    actor: str
    action: str
    object_kind: str
    object_id: str
    detail: str = "{}"


class Row(Entry, frozen=True, kw_only=True):
    """An entry in its place.

    Attributes:
        seq: Its number, from 1, without gaps.
        previous_mac: The seal of the row before.
        mac: Its own seal: the version of its key, and an HMAC-SHA-256.
    """

    seq: int
    previous_mac: bytes
    mac: bytes


def seal(entry: Entry, seq: int, previous_mac: bytes, vault: Vault) -> Row:
    """Put an entry in its place."""
    version = vault.newest
    mac = _mac(entry, seq, previous_mac, key=vault.keys_of("audit", version))
    fields = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    return Row(
        **fields, seq=seq, previous_mac=previous_mac, mac=version.to_bytes(_VERSION_BYTES, "big") + mac
    )


def is_sealed(row: Row, vault: Vault) -> bool:
    """Tell whether a row is as it was when it was sealed.

    Raises:
        VaultError: the version of its key is not here.
    """
    if len(row.mac) <= _VERSION_BYTES:
        return False
    version = int.from_bytes(row.mac[:_VERSION_BYTES], "big")
    mac = _mac(row, row.seq, row.previous_mac, key=vault.keys_of("audit", version))
    return hmac.compare_digest(mac, row.mac[_VERSION_BYTES:])


def _mac(entry: Entry, seq: int, previous_mac: bytes, *, key: bytes) -> bytes:
    parts = (
        _FORMAT,
        previous_mac,
        str(seq).encode(),
        str(entry.at).encode(),
        b"" if entry.organization_id is None else b"=" + entry.organization_id.encode(),
        entry.actor.encode(),
        entry.action.encode(),
        entry.object_kind.encode(),
        entry.object_id.encode(),
        entry.detail.encode(),
    )
    # With its length before each part no two rows are the same bytes.
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, text, hashlib.sha256)
