"""Contents at rest: sealed in their place, with keys that can be rotated and destroyed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import text, update

from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.contents.archive import Archive, Exchange, Kept, seal_content, unseal_content
from lmaas_gateway.contents.data_keys import DataKeys, OpenKey, unwrap
from lmaas_gateway.contents.masters import check_masters
from lmaas_gateway.contents.rotation import rotate
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.errors import SettingsError, StoreUnavailableError, VaultError
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.settings import ContentSettings, StorageSettings
from lmaas_gateway.storage import contents, data_keys, erasure, tables
from lmaas_gateway.storage.database import Database
from lmaas_gateway.vault import master
from lmaas_gateway.vault.sealing import MAX_MESSAGES, Place, seal, unseal
from lmaas_gateway.vault.vault import Vault

if TYPE_CHECKING:
    from lmaas_gateway.storage.loan import Connection

VAULT = Vault({1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI"})
CANARY = b"the-canary-sings-in-the-coal-mine"
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def kept(name: str = "call_1", organization: str = "org_a", size: int = 0) -> Kept:
    exchange = Exchange(request=b'{"messages":"%b"}' % CANARY, reply=CANARY + bytes(size))
    return Kept(name, organization, "proj_1", 1_700_000_000_000_000, exchange)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(clock: Clock) -> DataKeys:
    return DataKeys(VAULT, max_age_days=90, clock=clock)


@pytest.fixture
def writer(database: Database, keys: DataKeys, clock: Clock) -> ContentWriter:
    return ContentWriter(database, keys, ContentSettings(), Metrics(), clock=clock)


async def write(writer: ContentWriter, *items: Kept) -> None:
    for item in items:
        writer.put(item)
    await writer.flush()


async def read(database: Database, name: str = "call_1", organization: str = "org_a") -> Kept | None:
    archive = Archive(DataKeys(VAULT, max_age_days=90), Trail(VAULT))
    async with database.writing() as connection:
        return await archive.read(connection, organization, name, actor="user_1")


async def key_ids(database: Database) -> list[str]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT id FROM data_keys ORDER BY created_at, id"))
        return [row.id for row in found]


async def change(database: Database, statement: str) -> None:
    async with database.writing() as connection:
        await connection.execute(text(statement))


class TestSealing:
    PLACE = Place("org_a", "contents", "call_1", "ciphertext", "1")
    KEY = bytes(range(32))

    def test_what_was_sealed_opens_in_its_place(self) -> None:
        nonce, sealed = seal(self.KEY, CANARY, self.PLACE)
        assert unseal(self.KEY, nonce, sealed, self.PLACE) == CANARY
        assert CANARY not in sealed

    @pytest.mark.parametrize("field", Place.__struct_fields__)
    def test_it_opens_in_no_other_place(self, field: str) -> None:
        nonce, sealed = seal(self.KEY, CANARY, self.PLACE)
        with pytest.raises(VaultError, match="does not open"):
            unseal(self.KEY, nonce, sealed, msgspec.structs.replace(self.PLACE, **{field: "other"}))

    def test_places_whose_parts_join_to_the_same_text_differ(self) -> None:
        one, other = Place("a|1:b", "c", "d", "e", "f"), Place("a", "b", "c", "d", "e|1:f")
        assert one.context() != other.context()

    def test_changed_bytes_do_not_open(self) -> None:
        nonce, sealed = seal(self.KEY, CANARY, self.PLACE)
        for spoiled in (sealed[:-1], sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:], b""):
            with pytest.raises(VaultError):
                unseal(self.KEY, nonce, spoiled, self.PLACE)

    def test_nonces_are_not_used_again(self) -> None:
        assert len({seal(self.KEY, b"", self.PLACE)[0] for _ in range(1000)}) == 1000

    def test_packing_that_is_of_no_known_version_is_said(self) -> None:
        key = OpenKey("dk_1", self.KEY, 0)
        sealed = seal_content(kept(), key)
        nonce, noise = seal(self.KEY, b"noise", Place("org_a", "contents", "call_1", "ciphertext", "1/dk_1"))
        with pytest.raises(VaultError, match="not one of this version"):
            unseal_content(msgspec.structs.replace(sealed, nonce=nonce, ciphertext=noise), key)


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

        writer = ContentWriter(Broken(), keys, ContentSettings(), Metrics())  # type: ignore[arg-type]
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


ROTATING = """
import asyncio, sys
from pathlib import Path
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.contents import rotation
from lmaas_gateway.settings import Settings, StorageSettings
from lmaas_gateway.storage.database import Database
from lmaas_gateway.vault.vault import Vault

rotation._BATCH = 5

async def main():
    vault = Vault.open(Settings(data_dir=Path(sys.argv[2])))
    database = Database(sys.argv[1], StorageSettings(deadline_s=30))
    print("begin", flush=True)
    for _ in range(1000):
        await rotation.rotate(vault, database, Trail(vault), actor="op")

asyncio.run(main())
"""


class TestRotation:
    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        path = tmp_path / "master.key"
        master.make(path)
        return Vault(master.read(path), read_again=lambda: master.read(path), path=path)

    async def fill(self, database: Database, vault: Vault, organizations: int) -> list[Kept]:
        writer = ContentWriter(database, DataKeys(vault, max_age_days=90), ContentSettings(), Metrics())
        items = [kept(f"call_{i}", f"org_{i}") for i in range(organizations)]
        await write(writer, *items)
        return items

    async def opened(self, database: Database, vault: Vault, items: list[Kept]) -> list[Kept | None]:
        archive = Archive(DataKeys(vault, max_age_days=90), Trail(vault))
        async with database.writing(deadline_s=30) as connection:
            return [
                await archive.read(connection, item.organization_id, item.ledger_id, actor="x")
                for item in items
            ]

    async def versions(self, database: Database) -> set[int]:
        async with database.reading() as connection:
            rows = await connection.execute(text("SELECT DISTINCT master_version FROM data_keys"))
            return {row.master_version for row in rows}

    async def test_data_keys_are_wrapped_anew_and_contents_stay(
        self, database: Database, vault: Vault
    ) -> None:
        items = await self.fill(database, vault, 5)
        async with database.reading() as connection:
            before = {item.ciphertext for item in (await contents.list_of(connection, "org_1")).items}
        done = await rotate(vault, database, Trail(vault), actor="op")
        assert (done.version, done.is_new, done.rewrapped) == (2, True, 5)
        assert await self.versions(database) == {2}
        assert await self.opened(database, vault, items) == items
        async with database.reading() as connection:
            after = {item.ciphertext for item in (await contents.list_of(connection, "org_1")).items}
            rows = await Trail(vault).find(connection, None, action="vault.rotate")
        assert before == after
        assert [row.detail for row in rows] == ['{"is_new":true,"rewrapped":5}']

    async def test_gateway_that_runs_reads_what_was_wrapped_by_a_version_that_it_has_not_seen(
        self, database: Database, vault: Vault, tmp_path: Path
    ) -> None:
        items = await self.fill(database, vault, 2)
        path = tmp_path / "master.key"
        other = Vault(master.read(path), read_again=lambda: master.read(path), path=path)
        await rotate(other, database, Trail(other), actor="op")
        assert vault.newest == 1
        assert await self.opened(database, vault, items) == items

    async def test_rotation_that_was_stopped_goes_on_without_another_version(
        self, database: Database, vault: Vault, tmp_path: Path
    ) -> None:
        items = await self.fill(database, vault, 3)
        master.add_version(tmp_path / "master.key")
        done = await rotate(vault, database, Trail(vault), actor="op")
        assert (done.version, done.is_new, done.rewrapped) == (2, False, 3)
        assert await self.opened(database, vault, items) == items

    async def test_secret_of_a_variable_is_rotated_by_putting_another_before_it(
        self, database: Database
    ) -> None:
        old = {1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI"}
        items = await self.fill(database, Vault(old), 2)
        vault = Vault({**old, 2: b"aP5bX1nV8kM3tQ7zR2wY6cL9hD4jF0gSeUiO"})
        done = await rotate(vault, database, Trail(vault), actor="op")
        assert (done.version, done.is_new, done.rewrapped) == (2, False, 2)
        assert await self.opened(database, vault, items) == items

    async def test_killed_rotation_loses_nothing(
        self, database: Database, database_url: str, vault: Vault, tmp_path: Path
    ) -> None:
        items = await self.fill(database, vault, 30)
        draws = random.Random(7)
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", ROTATING, database_url, str(tmp_path)), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"begin\n"
            await asyncio.sleep(draws.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            await process.wait()
        vault.refresh()
        assert await self.opened(database, vault, items) == items
        done = await rotate(vault, database, Trail(vault), actor="op")
        assert await self.versions(database) == {done.version}
        assert await self.opened(database, vault, items) == items

    async def test_destroyed_keys_stay_destroyed(self, database: Database, vault: Vault) -> None:
        await self.fill(database, vault, 2)
        async with database.writing() as connection:
            await erasure.shred(connection, "org_0", 1)
        assert (await rotate(vault, database, Trail(vault), actor="op")).rewrapped == 1

    async def test_wrapped_key_that_was_changed_does_not_open(self, database: Database, vault: Vault) -> None:
        await self.fill(database, vault, 1)
        async with database.reading() as connection:
            found = await data_keys.find_newest(connection, "org_0")
        assert found is not None
        for change_ in ({"master_version": 1, "id": "dk_x"}, {"organization_id": "org_x"}):
            with pytest.raises(VaultError):
                unwrap(msgspec.structs.replace(found, **change_), vault)


class TestMasters:
    async def test_the_same_secret_is_known_again_and_a_new_version_added(self, database: Database) -> None:
        two = Vault({1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI", 2: os.urandom(32)})
        for vault in (VAULT, VAULT, two, two):
            await check_masters(vault, database, at=1)

    async def test_host_that_lacks_the_newest_version_is_told_to_copy_it(self, database: Database) -> None:
        both = {1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI", 2: os.urandom(32)}
        await check_masters(Vault(both), database, at=1)
        with pytest.raises(SettingsError, match="copy it from the host"):
            await check_masters(VAULT, database, at=2)
        await check_masters(Vault({2: both[2]}), database, at=3)

    async def test_another_hosts_own_secret_is_refused_with_what_to_do(self, database: Database) -> None:
        await check_masters(VAULT, database, at=1)
        with pytest.raises(SettingsError, match="give this host the same one"):
            await check_masters(Vault({1: os.urandom(32)}), database, at=2)
