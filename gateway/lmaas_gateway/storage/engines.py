"""SQLAlchemy engines for the two databases, set up so that both behave alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

Dialect = Literal["sqlite", "postgresql"]

# Of libpq's names for how TLS is used, asyncpg knows the values under another name.
_LIBPQ_NAMES = {"sslmode": "ssl"}
# Pages of the write-ahead log after which it is written back: at 4 KiB, 16 MiB.
_CHECKPOINT_PAGES = 4000


class _Cursor(Protocol):
    def execute(self, statement: str) -> object: ...

    def close(self) -> None: ...


class _DriverConnection(Protocol):
    isolation_level: str | None

    def cursor(self) -> _Cursor: ...


def read_url(text: str) -> URL:
    """Read a database's address, and name the driver that is used here.

    Raises:
        SettingsError: it is none, or one of a database that is not supported.
    """
    try:
        url = make_url(text)
    except Exception:
        # Not shown: it may hold a password.
        raise SettingsError(
            "storage.url cannot be read; write postgresql://user:password@host/name"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        return url.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"}:
        query = {_LIBPQ_NAMES.get(name, name): value for name, value in url.query.items()}
        return url.set(drivername="postgresql+asyncpg", query=query)
    raise SettingsError(f"storage.url: {backend} is not supported; use sqlite:///… or postgresql://…")


def dialect_of(url: URL) -> Dialect:
    """Which of the two databases it is."""
    return "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"


def open_sqlite(url: URL, *, size: int, is_writer: bool) -> AsyncEngine:
    """Make an engine over a SQLite file in WAL mode: readers do not wait for the writer, nor it for them.

    Args:
        url: Of a file; it is made, for its owner only.
        size: Connections, each with a thread of its own, for ever.
        is_writer: Its transactions take the write lock as they begin, so that none fails half way because
            another process wrote meanwhile.
    """
    _make_private(Path(url.database or ""))
    engine = create_async_engine(url, pool_size=size, max_overflow=0, hide_parameters=True)
    pragmas = (
        "PRAGMA journal_mode=WAL",
        # A row that was reported as written is on the disk, even if the machine loses power.
        "PRAGMA synchronous=FULL" if is_writer else "PRAGMA synchronous=NORMAL",
        "PRAGMA foreign_keys=ON",
        # What is destroyed, such as a tenant's data keys, is overwritten and not just let go.
        "PRAGMA secure_delete=ON",
        f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}",
        *(() if is_writer else ("PRAGMA query_only=ON",)),
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: _DriverConnection, _: object) -> None:
        # The driver begins no transactions on its own; `begin` below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("PRAGMA busy_timeout=1000", *pragmas):
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        if not is_writer:  # a reader waits for nobody, and each statement is a way to a thread and back
            connection.exec_driver_sql("BEGIN")
            return
        wait_ms = connection.get_execution_options().get("busy_ms", 1000)
        connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_ms}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def open_postgresql(url: URL, *, size: int, connect_s: float, command_s: float) -> AsyncEngine:
    """Make an engine over a PostgreSQL database.

    Args:
        url: Its driver is asyncpg.
        size: Connections.
        connect_s: How long connecting may take.
        command_s: What takes longer is ended, here and by the server.
    """
    arguments: Mapping[str, Any] = {
        "timeout": connect_s,
        "command_timeout": command_s,
        "server_settings": {
            "application_name": "lmaas",
            "statement_timeout": str(round(command_s * 1e3)),
            "idle_in_transaction_session_timeout": str(round(command_s * 1e3)),
        },
    }
    return create_async_engine(
        url, pool_size=size, max_overflow=0, hide_parameters=True, connect_args=dict(arguments)
    )


def _make_private(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        # On a disk that went read-only what is there can still be read.
        if not path.exists():
            raise SettingsError(f"the database {path} cannot be made: {error.strerror}") from None
