from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.schema import NEWEST, alembic_config, migrate
from lmaas_gateway.storage.tables import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), METADATA))


async def test_migrations_make_exactly_the_tables_that_the_code_names(database: Database) -> None:
    async with database.writing() as connection:
        assert await connection.run_sync(_differences) == []


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await migrate(database)
    async with database.writing() as connection:
        assert await connection.run_sync(_differences) == []


async def test_tables_that_are_up_to_date_are_found_so_without_alembic(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == NEWEST
    monkeypatch.setitem(sys.modules, "alembic", None)
    database = Database(sqlite_url)
    await migrate(database)
    await database.close()


async def test_of_several_that_migrate_at_once_one_does_and_the_others_wait(
    tmp_path: Path, empty_postgres_url: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'new.sqlite'}", empty_postgres_url):
        databases = [Database(url) for _ in range(4)]
        await asyncio.gather(*(migrate(database) for database in databases))
        async with databases[0].reading(deadline_s=10) as connection:
            assert (await connection.execute(text("SELECT count(*) FROM keys"))).scalar_one() == 0
        for database in databases:
            await database.close()


async def test_tables_of_a_newer_gateway_stop_the_start_with_what_to_do(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    async with database.writing(deadline_s=10) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'r9999'"))
    with pytest.raises(SettingsError, match="newer version of the gateway"):
        await migrate(database)
    await database.close()


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lmaas.sqlite"
    database = Database(f"sqlite:///{path}")
    await migrate(database)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await database.close()
