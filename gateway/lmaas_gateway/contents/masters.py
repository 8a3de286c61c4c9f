"""Whether this master secret is the one that the database was made with.

Another one, such as a new host's own, would find every key of a caller wrong and open no content. So the
database remembers a fingerprint of each version, which tells nothing of the secret.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.storage import master_versions

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.vault.vault import Vault


async def check_masters(vault: Vault, database: Database, *, at: int) -> None:
    """Compare the versions that are here with those that the database has seen, and add the new ones.

    Args:
        vault: Has the secret.
        database: Remembers.
        at: Microseconds since 1970.

    Raises:
        SettingsError: one of them is another secret.
        StoreUnavailableError: the database does not answer.
    """
    async with database.writing(deadline_s=database.admin_deadline_s) as connection:
        known = await master_versions.list_all(connection)
        newest = max(known, default=0)
        if newest > vault.newest:
            raise SettingsError(
                f"the database is used with version {newest} of the master secret, which is not here, only "
                f"{list(vault.versions)}; copy it from the host where it was made"
            )
        for version in vault.versions:
            fingerprint = vault.fingerprint(version)
            if version not in known:
                await master_versions.add(connection, version, fingerprint, at)
            elif not hmac.compare_digest(known[version], fingerprint):
                raise SettingsError(
                    f"version {version} of the master secret is not the one that the database was made with; "
                    "give this host the same one, with LMAAS_MASTER_KEY_FILE or LMAAS_MASTER_KEY"
                )
