"""Bring the database's tables to what this version of the gateway needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lmaas_gateway.storage.database import Database

FOLDER = Path(__file__).parent / "migrations"
# Of PostgreSQL's advisory lock, so that of several hosts that start at once one migrates; any number will do.
_LOCK = 0x6C6D616173


async def migrate(database: Database) -> None:
    """Run the migrations that are missing, all or none; of several processes one, while the others wait.

    Raises:
        StoreUnavailableError: the database does not answer.
        SettingsError: its tables were made by a newer gateway.
    """
    async with database.writing(deadline_s=database.admin_deadline_s) as connection:
        if connection.dialect == "postgresql":
            # SQLite's transaction holds the write lock from its beginning.
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        await connection.run_sync(upgrade)


def upgrade(connection: Connection) -> None:
    """Run the migrations on a connection that is in a transaction.

    Raises:
        SettingsError: as `migrate`.
    """
    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SettingsError(
            f"the database was made by a newer version of the gateway: {error}; "
            "run that one, or restore the backup that you made before"
        ) from error


def alembic_config() -> Config:
    """Tell Alembic where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
