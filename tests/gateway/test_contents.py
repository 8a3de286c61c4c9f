"""Contents at rest: kept behind the calls, sealed in their place, read by who may."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import update

from gateway.contents_rig import CANARY, DAY_S, VAULT, Clock, change, clock, kept, keys, read, write, writer
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.contents.data_keys import DataKeys
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.errors import StoreUnavailableError, VaultError
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.settings import ContentSettings, StorageSettings
from lmaas_gateway.storage import contents, tables
from lmaas_gateway.storage.database import Database

if TYPE_CHECKING:
    from lmaas_gateway.storage.loan import Connection

__all__ = ["clock", "keys", "writer"]


class TestKeeping:
    async def test_what_was_kept_is_read_again_and_the_reading_is_audited(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept(), kept("call_2", "org_b"))
        assert await read(database) == kept()
        assert await read(database, "call_2", "org_b") == kept("call_2", "org_b")
        async with database.reading() as connection:
            rows = await Trail(VAULT).rows(connection)
        assert [(row.actor, row.action, row.object_id, row.organization_id) for row in rows] == [
            ("user_1", "contents.show", "call_1", "org_a"),
            ("user_1", "contents.show", "call_2", "org_b"),
        ]

    async def test_another_organizations_content_is_not_there(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept())
        assert await read(database, "call_1", "org_b") is None
        async with database.reading() as connection:
            assert await Trail(VAULT).rows(connection) == []

    async def test_rows_that_were_swapped_do_not_open(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept(), kept("call_2"))
        await change(database, "UPDATE contents SET ledger_id = 'call_3' WHERE ledger_id = 'call_1'")
        await change(database, "UPDATE contents SET ledger_id = 'call_1' WHERE ledger_id = 'call_2'")
        for name in ("call_1", "call_3"):
            with pytest.raises(VaultError, match="does not open"):
                await read(database, name)

    async def test_content_moved_to_another_organization_does_not_open(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept(), kept("call_2", "org_b"))
        await change(database, "UPDATE contents SET organization_id = 'org_b' WHERE ledger_id = 'call_1'")
        with pytest.raises(VaultError):
            await read(database, "call_1", "org_b")
        await change(database, "UPDATE data_keys SET organization_id = 'org_b'")
        with pytest.raises(VaultError):
            await read(database, "call_1", "org_b")

    async def test_neither_file_nor_rows_hold_anything_in_clear(
        self, sqlite_url: str, keys: DataKeys
    ) -> None:
        database = Database(sqlite_url, StorageSettings(deadline_s=10))
        writer = ContentWriter(database, keys, ContentSettings(), Metrics())
        await write(writer, *(kept(f"call_{i}") for i in range(20)))
        secret = keys._known["org_a"].secret
        folder = Path(sqlite_url.removeprefix("sqlite:///")).parent
        await database.close()
        for path in folder.iterdir():
            data = path.read_bytes()
            assert CANARY not in data
            assert secret not in data

    async def test_store_that_fails_keeps_contents_waiting(self, keys: DataKeys, database: Database) -> None:
        class Broken:
            admin_deadline_s = 1.0

            def writing(self, *, deadline_s: float) -> contextlib.AbstractAsyncContextManager[Connection]:
                raise StoreUnavailableError(f"gone within {deadline_s} s")

        writer = ContentWriter(Broken(), keys, ContentSettings(), Metrics())  # type: ignore[arg-type]  # all that is asked of a database
        await write(writer, kept())
        writer._database = database
        await writer.flush()
        assert await read(database) == kept()

    async def test_what_waits_is_bounded_and_what_is_lost_is_counted(
        self, database: Database, keys: DataKeys
    ) -> None:
        metrics = Metrics()
        writer = ContentWriter(database, keys, ContentSettings(max_waiting_bytes=2**20), metrics)
        for number in range(4):
            writer.put(kept(f"call_{number}", size=400_000))
        await writer.flush()
        assert [await read(database, f"call_{number}") is not None for number in range(4)] == [
            True,
            True,
            False,
            False,
        ]
        assert b'lmaas_contents_lost_total{reason="full"} 2.0' in render(metrics)
        writer.put(kept("call_9", size=400_000))
        await writer.flush()
        assert await read(database, "call_9") is not None

    async def test_large_contents_go_in_several_transactions(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, *(kept(f"call_{i}", size=3 * 2**20) for i in range(3)))
        assert [await read(database, f"call_{i}") is not None for i in range(3)] == [True] * 3

    async def test_batch_that_was_kept_without_an_answer_is_not_lost_or_doubled(
        self, database: Database, writer: ContentWriter
    ) -> None:
        await write(writer, kept())
        await write(writer, kept(), kept("call_2"))
        assert await read(database, "call_2") is not None
        async with database.reading() as connection:
            assert len((await contents.list_of(connection, "org_a")).items) == 2

    async def test_contents_that_no_key_can_seal_are_counted_and_hold_up_no_others(
        self, database: Database, writer: ContentWriter, keys: DataKeys
    ) -> None:
        await write(writer, kept())
        keys.forget()
        async with database.writing() as connection:
            await connection.execute(update(tables.data_keys).values(wrapped=os.urandom(60)))
        await write(writer, kept("call_2"))
        assert names.CONTENTS_LOST.sample_name.encode() + b'{reason="unsealed"} 1.0' in render(
            writer._metrics
        )
        await write(writer, kept("call_3", "org_b"))
        assert await read(database, "call_3", "org_b") is not None

    async def test_what_nobody_foresaw_loses_one_batch_and_ends_no_writer(
        self, database: Database, writer: ContentWriter
    ) -> None:
        spoiled = msgspec.structs.replace(kept(), ledger_id=None)
        await write(writer, spoiled)
        await write(writer, kept("call_2"))
        assert await read(database, "call_2") is not None

    async def test_flushes_at_the_same_time_write_each_content_once(
        self, database: Database, writer: ContentWriter
    ) -> None:
        for number in range(100):
            writer.put(kept(f"call_{number}"))
        await asyncio.gather(writer.flush(), writer.flush(), writer.flush())
        async with database.reading() as connection:
            assert len((await contents.list_of(connection, "org_a", limit=1000)).items) == 100

    async def test_old_contents_are_deleted(
        self, database: Database, writer: ContentWriter, clock: Clock
    ) -> None:
        await write(writer, kept())
        clock.now += 29 * DAY_S
        await writer.drop_old()
        assert await read(database) is not None
        clock.now += 2 * DAY_S
        looks = iter(range(1))

        async def sleep(_: float) -> None:
            if next(looks, None) is None:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await writer.run(sleep)
        assert await read(database) is None
