"""Where keys and people are asked for: the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.storage import changes, holders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmaas_gateway.storage.changes import Place
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.holders import KeyHolder, PersonHolder


class Holders:
    """Reads what authentication must know.

    Every method raises `StoreUnavailableError` if the database cannot be asked now.

    Args:
        database: Where it stands.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_id: str) -> KeyHolder | None:
        """Find a key by its id."""
        async with self._database.reading() as connection:
            return await holders.find_key(connection, key_id)

    async def find_all(self, key_ids: Sequence[str]) -> list[KeyHolder]:
        """Find several keys by their ids."""
        found: list[KeyHolder] = []
        async with self._database.reading() as connection:
            for start in range(0, len(key_ids), holders.MOST_AT_ONCE):
                part = key_ids[start : start + holders.MOST_AT_ONCE]
                found += await holders.find_keys(connection, part)
        return found

    async def find_person(self, subject: str) -> PersonHolder | None:
        """Find the member who is recognised by `issuer|sub`."""
        async with self._database.reading() as connection:
            return await holders.find_person(connection, subject)

    async def find_open(self, members: Sequence[str]) -> set[str]:
        """Tell which of these members may call."""
        found: set[str] = set()
        async with self._database.reading() as connection:
            for start in range(0, len(members), holders.MOST_AT_ONCE):
                part = members[start : start + holders.MOST_AT_ONCE]
                found |= await holders.find_open(connection, part)
        return found

    async def find_latest_change(self) -> Place:
        """Tell which key changed last, and when."""
        async with self._database.reading() as connection:
            return await changes.find_latest(connection)

    async def list_changed(self, after: Place) -> list[Place]:
        """List when which keys changed, after `after`."""
        listed: list[Place] = []
        async with self._database.reading() as connection:
            while part := await changes.list_after(connection, listed[-1] if listed else after):
                listed += part
                if len(part) < changes.MOST_AT_ONCE:
                    break
        return listed

    async def note_used(self, times: Mapping[str, int]) -> None:
        """Note when keys were last used."""
        async with self._database.writing() as connection:
            await holders.note_used(connection, times)
