"""Fingerprints of the versions of the master secret that the database has been used with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.tables import master_versions

if TYPE_CHECKING:
    from lmaas_gateway.storage.loan import Connection


async def list_all(connection: Connection) -> dict[int, str]:
    """Give all fingerprints by version."""
    found = await connection.execute(select(master_versions.c.version, master_versions.c.fingerprint))
    return {row.version: row.fingerprint for row in found}


async def add(connection: Connection, version: int, fingerprint: str, at: int) -> None:
    """Remember a version.

    Raises:
        ConflictError: another process did so at the same time.
    """
    statement = insert(master_versions).values(version=version, fingerprint=fingerprint, created_at=at)
    await rows.write(connection, statement, taken="This version was added by another process; try again.")
