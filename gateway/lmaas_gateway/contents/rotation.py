"""Rotate the master secret: a new version, and every data key wrapped by it. Contents stay as they are.

It may be killed at any point and run again. The new version is in its file before anything is wrapped by it,
each batch of data keys changes in one transaction, and old versions stay in the file: what was made from them
(seals of the audit trail, peppers of keys) goes on being good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.contents.data_keys import unwrap, wrap
from lmaas_gateway.storage import data_keys
from lmaas_gateway.vault import master

if TYPE_CHECKING:
    from lmaas_gateway.audit.trail import Trail
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.vault.vault import Vault

_BATCH = 100


class Rotation(msgspec.Struct, frozen=True):
    """What was done.

    Attributes:
        version: The newest of the master secret.
        is_new: Whether it was made now; else data keys lagged behind one that was there.
        rewrapped: How many data keys were wrapped anew.
    """

    version: int
    is_new: bool
    rewrapped: int


async def rotate(vault: Vault, database: Database, trail: Trail, *, actor: str) -> Rotation:
    """Bring all data keys to the newest version; make one first if they are all there already.

    A secret that comes from a variable gets no new version here: the operator has put one before the others.

    Raises:
        SettingsError: the file of the secret cannot be changed.
        StoreUnavailableError: the database does not answer; run it again.
        VaultError: a data key does not open.
    """
    vault.refresh()
    is_new = vault.path is not None and not await _lags(vault, database)
    if is_new and vault.path is not None:
        master.add_version(vault.path)
        vault.refresh()
    rewrapped = 0
    while (count := await _rewrap_some(vault, database)) > 0:
        rewrapped += count
    done = Rotation(vault.newest, is_new, rewrapped)
    async with database.writing(deadline_s=database.admin_deadline_s) as connection:
        await trail.append(
            connection,
            actor=actor,
            action="vault.rotate",
            object_kind="master",
            object_id=str(done.version),
            detail={"is_new": is_new, "rewrapped": rewrapped},
        )
    return done


async def _lags(vault: Vault, database: Database) -> bool:
    async with database.reading(deadline_s=database.admin_deadline_s) as connection:
        return bool(await data_keys.list_wrapped_before(connection, vault.newest, 1))


async def _rewrap_some(vault: Vault, database: Database) -> int:
    async with database.writing(deadline_s=database.admin_deadline_s) as connection:
        found = await data_keys.list_wrapped_before(connection, vault.newest, _BATCH)
        for each in found:
            wrapped = wrap(unwrap(each, vault), each.organization_id, vault)
            await data_keys.rewrap(
                connection,
                each.organization_id,
                each.id,
                wrapped=wrapped.wrapped,
                master_version=wrapped.master_version,
            )
    return len(found)
