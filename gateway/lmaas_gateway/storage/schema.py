"""Bring the database's tables to what this version of the gateway needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from lmaas_gateway.storage.database import Database

FOLDER = Path(__file__).parent / "migrations"
NEWEST = "r0004"
"""The newest migration. Tables that are as it made them need no Alembic, which takes long to load."""
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
    """Run the migrations that are missing on a connection that is in a transaction.

    Raises:
        SettingsError: as `migrate`.
    """
    if _revision(connection) == NEWEST:
        return
    from alembic import command  # noqa: PLC0415 - most starts find nothing to do
    from alembic.util import CommandError  # noqa: PLC0415 - likewise

    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SettingsError(
            f"the database was made by a newer version of the gateway: {error}; "
            "run that one, or restore the backup that you made before"
        ) from error


def _revision(connection: Connection) -> str | None:
    """What the tables are by now; none if there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def alembic_config() -> Config:
    """Tell Alembic where the migrations are."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
