"""AES-256-GCM with the place of what is sealed as its context: what is moved elsewhere does not open.

Nonces are 96 random bits. That is safe for 2^32 messages a key at the most (NIST SP 800-38D, 8.3); a data key
seals 2^30, and has no counter that a restored backup could set back.
"""

from __future__ import annotations

import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lmaas_gateway.errors import VaultError

KEY_BYTES = 32
NONCE_BYTES = 12
MAX_MESSAGES = 2**30


class Place(msgspec.Struct, frozen=True):
    """Where something sealed belongs. Each field must be the same when it is opened."""

    organization_id: str
    table: str
    row: str
    column: str
    version: str

    def context(self) -> bytes:
        """Write it so that no two places are the same bytes."""
        parts = (self.organization_id, self.table, self.row, self.column, self.version)
        return b"|".join(b"%d:%b" % (len(part.encode()), part.encode()) for part in parts)


def seal(key: bytes, data: bytes, place: Place) -> tuple[bytes, bytes]:
    """Encrypt; give the nonce and the ciphertext, which has its tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce, AESGCM(key).encrypt(nonce, data, place.context())


def unseal(key: bytes, nonce: bytes, sealed: bytes, place: Place) -> bytes:
    """Decrypt.

    Raises:
        VaultError: it was changed, was moved from its place, or is another key's.
    """
    try:
        return AESGCM(key).decrypt(nonce, sealed, place.context())
    except (InvalidTag, ValueError):
        raise VaultError(
            f"row {place.row!r} of {place.table} does not open: it, its key or its place was changed"
        ) from None
