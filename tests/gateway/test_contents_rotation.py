"""Rotation: data keys are wrapped anew, whenever it is stopped; every host has the same masters."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from gateway.contents_rig import VAULT, kept, write
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.contents.archive import Archive, Kept
from lmaas_gateway.contents.data_keys import DataKeys, unwrap
from lmaas_gateway.contents.masters import check_masters
from lmaas_gateway.contents.rotation import rotate
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.errors import SettingsError, VaultError
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import ContentSettings
from lmaas_gateway.storage import contents, data_keys, erasure
from lmaas_gateway.storage.database import Database
from lmaas_gateway.vault import master
from lmaas_gateway.vault.vault import Vault

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
