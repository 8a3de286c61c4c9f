"""The data keys of organizations: made, wrapped by a key of the vault, used up, and wrapped anew.

What is sealed with a data key is not touched when the master secret changes; without its key it is noise.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.errors import SettingsError, VaultError
from lmaas_gateway.storage import data_keys
from lmaas_gateway.storage.records import DataKey
from lmaas_gateway.vault.sealing import KEY_BYTES, MAX_MESSAGES, NONCE_BYTES, Place, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.vault.vault import Vault

_DAY_US = 86_400 * 10**6
_MAX_KNOWN = 10_000


class OpenKey(msgspec.Struct, frozen=True):
    """A data key, ready for use."""

    id: str
    secret: bytes
    created_at: int


class DataKeys:
    """Gives each organization's data key to those that seal.

    Args:
        vault: Wraps them.
        max_age_days: After which a new one is made.
        clock: Unix seconds.
    """

    def __init__(self, vault: Vault, *, max_age_days: float, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._max_age_us = int(max_age_days * _DAY_US)
        self._clock = clock
        self._known: dict[str, OpenKey] = {}

    async def take(self, connection: Connection, organization_id: str, messages: int) -> OpenKey:
        """Give a key that may seal so many messages more. They are counted, in the caller's transaction.

        The count also finds a key that was destroyed meanwhile, so that nothing is sealed with it any more.

        Raises:
            VaultError: it cannot be unwrapped.
        """
        key = self._known.get(organization_id) or await self._find(connection, organization_id)
        if key is None or not await self._count(connection, organization_id, key, messages):
            key = await self._make(connection, organization_id, messages)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[organization_id] = key
        return key

    def forget(self) -> None:
        """Forget all; after a transaction that may not have been kept, its keys may not be there."""
        self._known.clear()

    async def open(self, connection: Connection, organization_id: str, data_key_id: str) -> OpenKey:
        """Give the key that something was sealed with, from the database each time.

        Raises:
            VaultError: it was destroyed, or cannot be unwrapped.
        """
        found = await data_keys.find(connection, organization_id, data_key_id)
        if found is None or found.destroyed_at is not None:
            raise VaultError(f"the data key {data_key_id!r} was destroyed: what it sealed is gone for ever")
        return unwrap(found, self._vault)

    async def _find(self, connection: Connection, organization_id: str) -> OpenKey | None:
        found = await data_keys.find_newest(connection, organization_id)
        return None if found is None else unwrap(found, self._vault)

    async def _count(self, connection: Connection, organization_id: str, key: OpenKey, messages: int) -> bool:
        if not 0 <= self._now_us() - key.created_at < self._max_age_us:
            return False
        return await data_keys.count_messages(
            connection, organization_id, key.id, messages=messages, most=MAX_MESSAGES
        )

    async def _make(self, connection: Connection, organization_id: str, messages: int) -> OpenKey:
        # Seldom enough to look whether the master secret has a newer version; the one that is known will do.
        with contextlib.suppress(SettingsError):
            self._vault.refresh()
        key = OpenKey("dk_" + secrets.token_hex(12), os.urandom(KEY_BYTES), self._now_us())
        await data_keys.create(connection, wrap(key, organization_id, self._vault, messages=messages))
        return key

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)


def wrap(key: OpenKey, organization_id: str, vault: Vault, *, messages: int = 0) -> DataKey:
    """Seal a data key with the vault's newest key for that."""
    version = vault.newest
    place = _place(organization_id, key.id, version)
    nonce, sealed = seal(vault.keys_of("wrap", version), key.secret, place)
    return DataKey(
        id=key.id,
        organization_id=organization_id,
        master_version=version,
        wrapped=nonce + sealed,
        messages=messages,
        created_at=key.created_at,
    )


def unwrap(found: DataKey, vault: Vault) -> OpenKey:
    """Open a data key.

    Raises:
        VaultError: it was changed, or its version of the master secret is not here.
    """
    wrapped = bytes(found.wrapped)
    place = _place(found.organization_id, found.id, found.master_version)
    key = vault.keys_of("wrap", found.master_version)
    return OpenKey(
        found.id, unseal(key, wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], place), found.created_at
    )


def _place(organization_id: str, key_id: str, version: int) -> Place:
    return Place(organization_id, "data_keys", key_id, "wrapped", str(version))
