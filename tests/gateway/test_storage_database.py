"""What waits for a database waits no longer than its deadline, whatever the database does."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from lmaas_gateway.errors import SettingsError, StoreUnavailableError
from lmaas_gateway.settings import StorageSettings
from lmaas_gateway.storage import ledger, organizations
from lmaas_gateway.storage.database import Database, database_url
from lmaas_gateway.storage.loan import Lane, Loan
from lmaas_gateway.storage.records import LedgerEntry, Organization
from lmaas_gateway.testing.fault_proxy import FaultProxy
from lmaas_gateway.testing.toxics import Timeout
from support.tenant_rows import new_organization

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.store_servers import PostgresServer

_DEADLINE_S = 0.25


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextlib.asynccontextmanager
async def _opened(url: str, *, clock: Any = time.monotonic, **rules: Any) -> AsyncIterator[Database]:
    database = Database(url, StorageSettings(**({"deadline_s": _DEADLINE_S} | rules)), clock=clock)
    try:
        yield database
    finally:
        await database.close()


async def _count(database: Database, **options: Any) -> int:
    async with database.reading(**options) as connection:
        return int((await connection.execute(text("SELECT count(*) FROM organizations"))).scalar_one())


async def _fails(database: Database, times: int = 1) -> float:
    """Ask in vain; give how long the longest took."""
    longest_s = 0.0
    for _ in range(times):
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await _count(database)
        longest_s = max(longest_s, time.monotonic() - began_s)
    return longest_s


def _is_refused_without_waiting(database: Database) -> None:
    """Ask in vain, by hand: what fails in its first step has waited for nothing, and so asked nobody."""
    with contextlib.closing(_count(database)) as asking, pytest.raises(StoreUnavailableError):
        asking.send(None)


async def _comes_back(database: Database, clock: _Clock) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(StoreUnavailableError):
                await _count(database)
                return
            clock.now_s += 5.0
            await asyncio.sleep(0.05)


async def _sleep_in(database: Database, seconds: float, **options: Any) -> None:
    """Have the database itself take its time."""
    async with database.reading(**options) as connection:
        if connection.dialect == "postgresql":
            await connection.execute(text(f"SELECT pg_sleep({seconds})"))
            return
        many = int(seconds * 1e7)
        counting = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})"
        await connection.execute(text(f"{counting} SELECT count(*) FROM n"))


async def test_a_statement_that_takes_too_long_is_ended_and_its_connection_serves_again(
    database_url: str,
) -> None:
    async with _opened(database_url, connections=1) as database:
        for _ in range(3):
            began_s = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await _sleep_in(database, 20)
            assert time.monotonic() - began_s < _DEADLINE_S + 1
            # It was ended, not only left: with one connection the next would have to wait for it.
            assert await _count(database, deadline_s=5) == 0


async def test_a_caller_who_leaves_leaves_no_connection_behind(database_url: str) -> None:
    async with _opened(database_url, connections=1) as database:
        for _ in range(5):
            asking = asyncio.create_task(_sleep_in(database, 20, deadline_s=30))
            await asyncio.sleep(0.05)
            asking.cancel()
            assert isinstance(
                (await asyncio.gather(asking, return_exceptions=True))[0], asyncio.CancelledError
            )
            assert await _count(database, deadline_s=5) == 0
        assert database.circuits["read"].state == "closed", "it is no failure of the database"


async def test_what_takes_long_leaves_connections_to_what_serves(database_url: str) -> None:
    async with _opened(database_url, connections=2, deadline_s=1.4) as database:
        await _count(database)
        slow = [asyncio.create_task(_sleep_in(database, 20, deadline_s=1.5)) for _ in range(8)]
        await asyncio.sleep(0.1)
        assert await _count(database) == 0
        results = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(result, StoreUnavailableError) for result in results)
        assert database.circuits["read"].state == "closed", "a slow question is no failure of the database"


async def test_a_block_that_is_undone_by_its_own_error_is_no_failure(database: Database) -> None:
    async def change_ones_mind() -> None:
        async with database.writing() as connection:
            await organizations.create(connection, Organization(id="org_1", name="a", created_at=1))
            raise LookupError

    with pytest.raises(LookupError):
        await change_ones_mind()
    assert await _count(database) == 0
    assert database.circuits["write"].state == "closed"


async def test_a_reading_block_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailableError):
        async with database.reading() as connection:
            await organizations.create(connection, Organization(id="org_1", name="a", created_at=1))


async def test_a_server_that_is_not_there_fails_at_once_and_is_then_left_alone(
    new_postgres: Callable[[], PostgresServer],
) -> None:
    server, clock = new_postgres(), _Clock()
    async with _opened(server.url(), clock=clock) as database:
        await _fails(database, 5)
        with pytest.raises(StoreUnavailableError, match="left alone") as caught:
            await _count(database)
        assert caught.value.retry_after_s == 5
        for _ in range(1000):
            _is_refused_without_waiting(database)


async def test_a_server_that_hangs_costs_nobody_more_than_the_deadline_nor_threads_nor_tasks(
    postgres: PostgresServer, postgres_url: str
) -> None:
    clock = _Clock()
    async with FaultProxy(f"127.0.0.1:{postgres.port}") as proxy:
        url = postgres_url.replace(f":{postgres.port}/", f":{urlsplit(proxy.url).port}/")
        async with _opened(url, clock=clock) as database:
            await _count(database, deadline_s=5)
            threads = threading.active_count()
            proxy.to_upstream.append(Timeout(0))
            results = await asyncio.gather(*(_fails(database) for _ in range(200)))
            assert max(results) < _DEADLINE_S + 1.5
            for _ in range(20):
                clock.now_s += 5.0
                assert await _fails(database, 20) < _DEADLINE_S + 0.5
            assert threading.active_count() <= threads
            left = [task for task in asyncio.all_tasks() if "Loan." in repr(task.get_coro())]
            assert len(left) <= 2 * StorageSettings().connections
            proxy.heal()
            await _comes_back(database, clock)


async def test_time_in_which_our_own_loop_stood_still_is_not_the_databases() -> None:
    loop = asyncio.get_running_loop()

    async def answer() -> str:
        for _ in range(5):
            loop.call_soon(time.sleep, 0.04)
            # The answer is there long before the loop goes on.
            await loop.run_in_executor(None, time.sleep, 0.001)
        return "answer"

    began_s = loop.time()
    assert await _loan(0.05).bounded(answer()) == "answer"
    assert loop.time() - began_s > 0.1


async def test_loop_that_stands_still_again_and_again_keeps_nobody_for_ever() -> None:
    loop = asyncio.get_running_loop()
    is_over = False

    def stand_still() -> None:
        time.sleep(0.03)
        if not is_over:
            loop.call_soon(stand_still)

    stand_still()
    began_s = loop.time()
    hangs = loop.create_task(asyncio.sleep(3600))
    with pytest.raises(StoreUnavailableError):
        await _loan(0.05).bounded(_result_of(hangs))
    took_s = loop.time() - began_s
    is_over = True
    hangs.cancel()
    assert 0.1 < took_s < 4 * 0.05 + 5 * 0.03 + 0.5


async def _result_of(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})


def _loan(given_s: float) -> Loan:
    """A loan whose connection nobody needs."""
    lane = Lane(create_async_engine("sqlite+aiosqlite://"), "sqlite", size=1, reads=True)
    return Loan(lane, asyncio.get_running_loop().time() + given_s, is_slow=False)


async def test_a_server_that_stops_dead_and_goes_on_is_found_again(
    new_postgres: Callable[[], PostgresServer],
) -> None:
    server, clock = new_postgres(), _Clock()
    server.start()
    async with _opened(server.url(), clock=clock, deadline_s=0.5) as database:
        async with database.reading(deadline_s=5) as connection:
            await connection.execute(text("SELECT 1"))
        server.pause()
        for _ in range(6):
            with pytest.raises(StoreUnavailableError):
                async with database.reading() as connection:
                    await connection.execute(text("SELECT 1"))
        server.resume()
        clock.now_s += 5.0
        async with asyncio.timeout(20):
            while database.circuits["read"].state != "closed":
                with contextlib.suppress(StoreUnavailableError):
                    async with database.reading() as connection:
                        await connection.execute(text("SELECT 1"))
                clock.now_s += 5.0


async def test_connections_that_a_restart_made_stale_are_replaced_without_an_error(
    new_postgres: Callable[[], PostgresServer],
) -> None:
    server = new_postgres()
    server.start()
    async with _opened(server.url(), deadline_s=10) as database:

        async def ask() -> int:
            async with database.writing() as connection:
                return int((await connection.execute(text("SELECT 1"))).scalar_one())

        assert await asyncio.gather(*(ask() for _ in range(4))) == [1] * 4
        server.kill()
        server.start()
        # What was used in the last tenth of a second is not asked whether it is still there.
        await asyncio.sleep(0.15)
        assert await asyncio.gather(*(ask() for _ in range(4))) == [1] * 4


async def test_tables_that_are_not_there_yet_are_a_database_that_is_not_ready(
    empty_postgres_url: str, tmp_path: Path
) -> None:
    for url in (empty_postgres_url, f"sqlite:///{tmp_path / 'new.sqlite'}"):
        async with _opened(url, deadline_s=10) as database:
            await _fails(database)


async def test_reads_go_on_while_writes_fail(sqlite_url: str) -> None:
    clock = _Clock()
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    async with _opened(sqlite_url, clock=clock) as database:
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(5):
            began_s = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await new_organization(database)
            assert time.monotonic() - began_s < _DEADLINE_S + 1
        assert (database.circuits["read"].state, database.circuits["write"].state) == ("closed", "open")
        assert await _count(database, deadline_s=5) == 0
        holder.execute("ROLLBACK")
        clock.now_s += 5.0
        await asyncio.sleep(0.2)
        await new_organization(database)
    holder.close()


def _write_many(url: str, number: int) -> None:
    async def run() -> None:
        database = Database(url, StorageSettings(deadline_s=30))
        for batch in range(8):
            calls = [
                LedgerEntry(
                    id=f"call_{number}_{batch}_{index}",
                    request_id="r",
                    at=batch,
                    organization_id="org_a",
                    project_id="p",
                    key_id="k",
                    model="m",
                )
                for index in range(25)
            ]
            async with database.writing() as connection:
                await ledger.record(connection, calls)
            async with database.reading() as connection:
                await ledger.usage(connection, "org_a", first_day=0, last_day=1)
        await database.close()

    asyncio.run(run())


async def test_several_processes_share_one_file(sqlite_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(sqlite_url, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    await asyncio.gather(*(asyncio.to_thread(worker.join) for worker in workers))
    assert [worker.exitcode for worker in workers] == [0] * 3
    async with _opened(sqlite_url, deadline_s=10) as database, database.reading() as connection:
        (total,) = await ledger.usage(connection, "org_a", first_day=0, last_day=1)
        rows = (await connection.execute(text("SELECT count(*) FROM ledger"))).scalar_one()
        check = (await connection.execute(text("PRAGMA integrity_check"))).scalar_one()
    assert (total.calls, rows, check) == (600, 600, "ok")


async def test_a_worker_that_is_killed_in_a_transaction_leaves_nothing_half_done(sqlite_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_write_many, args=(sqlite_url, 0))
    worker.start()
    async with _opened(sqlite_url, deadline_s=10) as database:
        async with asyncio.timeout(30):
            while True:
                async with database.reading() as connection:
                    rows = (await connection.execute(text("SELECT count(*) FROM ledger"))).scalar_one()
                if rows:
                    break
                await asyncio.sleep(0.01)
        worker.kill()
        await asyncio.to_thread(worker.join)
        async with database.reading() as connection:
            (total,) = await ledger.usage(connection, "org_a", first_day=0, last_day=1)
            rows = (await connection.execute(text("SELECT count(*) FROM ledger"))).scalar_one()
        assert total.calls == rows
        assert rows % 25 == 0
        await new_organization(database)


def test_the_database_is_the_setting_or_a_file_in_the_data_folder(tmp_path: Path) -> None:
    assert database_url(StorageSettings(), tmp_path) == f"sqlite:///{tmp_path}/lmaas.sqlite"
    given = StorageSettings.model_validate({"url": "postgresql://u:p@h/d"})
    assert database_url(given, tmp_path) == "postgresql://u:p@h/d"


@pytest.mark.parametrize("url", ["mysql://u:secretword@h/d", "sqlite://", "not a url secretword"])
def test_an_address_that_cannot_work_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Database(url)
    assert "secretword" not in str(caught.value)


async def test_libpqs_word_for_tls_is_understood(postgres_url: str) -> None:
    async with _opened(postgres_url + "?sslmode=disable", deadline_s=10) as database:
        assert await _count(database) == 0


async def test_a_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be made"):
        Database(f"sqlite:///{tmp_path / 'file' / 'lmaas.sqlite'}")


async def test_transactions_are_told_of(database_url: str) -> None:
    told: list[tuple[str, str]] = []
    database = Database(
        database_url,
        StorageSettings(deadline_s=10),
        observe=lambda operation, outcome, _: told.append((operation, outcome)),
    )
    await new_organization(database)
    await _count(database)
    with pytest.raises(StoreUnavailableError):
        await _sleep_in(database, 20, deadline_s=0.1)
    await database.close()
    assert told == [("write", "ok"), ("read", "ok"), ("read", "failed")]
