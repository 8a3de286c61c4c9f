"""Checkpoints: how long the chain was at a time and how it ended, signed, kept in two places.

A chain alone does not show that its last rows are gone, nor that all rows after some one were made anew. What
was signed before, and lies where the database's administrator cannot reach, shows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lmaas_gateway.errors import VaultError

if TYPE_CHECKING:
    from lmaas_gateway.vault.vault import Vault

_FORMAT = b"lmaas audit checkpoint 1"
_VERSION_BYTES = 2


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed.

    Attributes:
        seq: Its own number, from 1.
        at: Microseconds since 1970.
        size: How many rows the chain had: the `seq` of the last one.
        head: The seal of the last one.
        signature: The version of the key, and an Ed25519 signature.
    """

    seq: int
    at: int
    size: int
    head: bytes
    signature: bytes = b""


def sign(checkpoint: Checkpoint, vault: Vault) -> Checkpoint:
    """Sign a checkpoint with the newest key."""
    version = vault.newest
    signature = _key(vault, version).sign(_text(checkpoint))
    return msgspec.structs.replace(checkpoint, signature=version.to_bytes(_VERSION_BYTES, "big") + signature)


def is_signed(checkpoint: Checkpoint, vault: Vault) -> bool:
    """Tell whether a checkpoint is one of ours, as it was made."""
    version = int.from_bytes(checkpoint.signature[:_VERSION_BYTES], "big")
    try:
        key = _key(vault, version).public_key()
        key.verify(checkpoint.signature[_VERSION_BYTES:], _text(checkpoint))
    except (InvalidSignature, VaultError):
        return False
    return True


def public_key(vault: Vault) -> bytes:
    """Give what others can check signatures with: 32 bytes, of the newest version."""
    return _key(vault, vault.newest).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _key(vault: Vault, version: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(vault.keys_of("checkpoint", version))


def _text(checkpoint: Checkpoint) -> bytes:
    numbers = (checkpoint.seq, checkpoint.at, checkpoint.size)
    return _FORMAT + b"".join(number.to_bytes(8, "big") for number in numbers) + checkpoint.head
