"""Sessions in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.storage import sessions

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.records import Session


class StoredSessions:
    """The sessions of all processes and hosts.

    Args:
        database: Where they stand.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: Session, now_us: int) -> None:
        """Keep one, and drop what is over by now."""
        async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
            await sessions.remove_ended(connection, now_us)
            await sessions.create(connection, record)

    async def find(self, id_: str) -> Session | None:
        """Give one."""
        async with self._database.reading() as connection:
            return await sessions.find(connection, id_)

    async def remove(self, id_: str) -> None:
        """Drop one."""
        async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
            await sessions.remove(connection, id_)
