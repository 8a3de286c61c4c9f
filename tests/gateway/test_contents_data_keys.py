"""Data keys: one an organization, until it is old, used up or destroyed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.contents_rig import DAY_S, VAULT, Clock, change, clock, kept, key_ids, keys, read, write, writer
from lmaas_gateway.contents.data_keys import DataKeys
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.errors import VaultError
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import ContentSettings, StorageSettings
from lmaas_gateway.storage import data_keys, erasure
from lmaas_gateway.storage.database import Database
from lmaas_gateway.vault.sealing import MAX_MESSAGES

__all__ = ["clock", "keys", "writer"]


class TestDataKeys:
    async def test_one_key_seals_until_it_is_old(
        self, database: Database, writer: ContentWriter, clock: Clock
    ) -> None:
        await write(writer, kept())
        await write(writer, kept("call_2"))
        assert len(await key_ids(database)) == 1
        clock.now += 91 * DAY_S
        await write(writer, kept("call_3"))
        assert len(await key_ids(database)) == 2
        assert await read(database) == kept()

    async def test_key_that_is_used_up_seals_no_more(self, database: Database, writer: ContentWriter) -> None:
        await write(writer, kept(), kept("call_2"))
        async with database.reading() as connection:
            (row,) = await connection.execute(text("SELECT messages FROM data_keys"))
        assert row.messages == 2
        await change(database, f"UPDATE data_keys SET messages = {MAX_MESSAGES}")
        await write(writer, kept("call_3"))
        assert len(await key_ids(database)) == 2

    async def test_processes_use_the_same_key(self, database: Database, writer: ContentWriter) -> None:
        await write(writer, kept())
        other = ContentWriter(database, DataKeys(VAULT, max_age_days=9e9), ContentSettings(), Metrics())
        await write(other, kept("call_2"))
        assert len(await key_ids(database)) == 1

    async def test_erased_tenants_contents_cannot_be_read_even_from_a_copy_of_the_rows(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept(), kept("call_2", "org_b"))
        async with database.writing() as connection:
            erased = await erasure.shred(connection, "org_a", 1)
        assert erased.data_keys == 1
        with pytest.raises(VaultError, match="gone for ever"):
            await read(database)
        assert await read(database, "call_2", "org_b") is not None
        async with database.reading() as connection:
            (row,) = await connection.execute(
                text("SELECT wrapped FROM data_keys WHERE organization_id = 'org_a'")
            )
        assert bytes(row.wrapped) == b""

    async def test_destroyed_key_is_not_left_in_the_file(self, sqlite_url: str, keys: DataKeys) -> None:
        database = Database(sqlite_url, StorageSettings(deadline_s=10))
        await write(ContentWriter(database, keys, ContentSettings(), Metrics()), kept())
        async with database.reading() as connection:
            found = await data_keys.find_newest(connection, "org_a")
        assert found is not None
        async with database.writing() as connection:
            await erasure.shred(connection, "org_a", 1)
        await erasure.erase_rows(database, "org_a")
        await database.close()
        data = await asyncio.to_thread(Path(sqlite_url.removeprefix("sqlite:///")).read_bytes)
        assert bytes(found.wrapped) not in data
        assert b"call_1" not in data

    async def test_destroyed_key_seals_nothing_more_although_it_is_known(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept())
        async with database.writing() as connection:
            await erasure.shred(connection, "org_a", 1)
        await write(writer, kept("call_2"))
        assert await read(database, "call_2") == kept("call_2")
        assert len(await key_ids(database)) == 2

    async def test_many_tenants_keys_take_bounded_memory(
        self, database: Database, keys: DataKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmaas_gateway.contents.data_keys._MAX_KNOWN", 2)
        async with database.writing() as connection:
            for number in range(5):
                await keys.take(connection, f"org_{number}", 1)
        assert len(keys._known) <= 2
