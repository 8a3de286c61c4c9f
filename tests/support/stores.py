"""Stores for tests: a database of its own for each, on SQLite and on PostgreSQL, and an empty Valkey.

The servers are real; they are started once for a test run, when a test first asks for one.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from support.store_servers import (
    PostgresServer,
    ValkeyServer,
    copy_postgres,
    init_postgres,
    private_folder,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from lmaas_gateway.storage.database import Database

_SHARED = "shared"
_numbers = itertools.count(1)


def migrated(url: str) -> None:
    """Make the tables in the database at `url`."""
    from lmaas_gateway.storage.database import Database  # noqa: PLC0415 - most tests need no database
    from lmaas_gateway.storage.schema import migrate  # noqa: PLC0415 - likewise

    async def run() -> None:
        database = Database(url)
        try:
            await migrate(database)
        finally:
            await database.close()

    asyncio.run(run())


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Path]:
    """An empty cluster that does not run, to copy from."""
    folder = private_folder("cluster")
    try:
        init_postgres(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgres(postgres_cluster: Path) -> Iterator[Callable[[], PostgresServer]]:
    """Makes servers that a test may stop, kill and start; they do not run yet."""
    servers: list[PostgresServer] = []

    def make() -> PostgresServer:
        folder = private_folder("postgres")
        copy_postgres(postgres_cluster, folder)
        servers.append(PostgresServer(folder))
        return servers[-1]

    try:
        yield make
    finally:
        for server in servers:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of the whole test run, which nobody may stop."""
    folder = private_folder("postgres")
    server = PostgresServer(folder)
    try:
        init_postgres(folder)
        server.start()
        server.run(f"CREATE DATABASE {_SHARED}")
        migrated(server.url(_SHARED))
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A PostgreSQL database with empty tables, whose structure nobody may change."""
    from lmaas_gateway.storage.tables import METADATA  # noqa: PLC0415 - as above

    # Much quicker than a database for each test; and no test waits for what another one left open.
    leave = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    empty = [f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables)]
    postgres.run("; ".join([leave, *empty]), _SHARED)
    return postgres.url(_SHARED)


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without tables, to do anything with."""
    name = f"test_{next(_numbers)}"
    postgres.run(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with empty tables, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite database with empty tables."""
    path = tmp_path / "lmaas.sqlite"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with empty tables; the test runs once on each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with empty tables; the test runs once on each kind."""
    from lmaas_gateway.settings import StorageSettings  # noqa: PLC0415 - as above
    from lmaas_gateway.storage.database import Database  # noqa: PLC0415 - likewise

    # The machine may be busy with other tests; those of deadlines have databases of their own.
    opened = Database(database_url, StorageSettings(deadline_s=10))
    yield opened
    await opened.close()


@pytest.fixture
def new_valkey() -> Iterator[Callable[[], ValkeyServer]]:
    """Makes servers that a test may stop, kill and start; they do not run yet."""
    servers: list[ValkeyServer] = []

    def make() -> ValkeyServer:
        servers.append(ValkeyServer(private_folder("valkey")))
        return servers[-1]

    try:
        yield make
    finally:
        for server in servers:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """The server of the whole test run, which nobody may stop."""
    server = ValkeyServer(private_folder("valkey"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def valkey_url(valkey: ValkeyServer) -> str:
    """An empty Valkey."""
    with socket.create_connection(("127.0.0.1", valkey.port), timeout=5) as line:
        line.sendall(b"FLUSHALL\r\n")
        assert line.recv(64).startswith(b"+OK")
    return valkey.url
