"""How the database holds up with many keys and a long ledger, on a real PostgreSQL.

python tests/bench/store_scale.py [--keys 100000] [--rows 10000000]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1]))

from lmaas_gateway.settings import StorageSettings
from lmaas_gateway.storage import holders, ledger
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.records import LedgerEntry
from lmaas_gateway.storage.tables import usage_days
from support.store_servers import PostgresServer, running_postgres
from support.stores import migrated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROJECTS = 50
DAYS = 90
ORGANIZATION = "org_big"
_LEDGER_INDEXES = {"ix_ledger_at": "(at)", "ix_ledger_organization_id_at_id": "(organization_id, at, id)"}
# With 100,000 keys each of them calls on nine of the days, about eleven times: 900,000 sums.
_ENTRIES = """
INSERT INTO ledger (id, request_id, at, organization_id, project_id, key_id, member_id, model, replica, route,
    is_stream, prompt_tokens, completion_tokens, is_estimated, outcome, status, source, cost_nanos)
SELECT 'call_' || i, 'req_' || i, (i % {days}) * 86400000000::bigint + i, '{organization}',
    'proj_' || (i % {keys}) % {projects}, lpad((i % {keys})::text, 10, '0'), '', 'm', 'r',
    '/v1/chat/completions', false, 100, 50, false, 'ok', 200, 'key', 1000
FROM generate_series({first}, {last}) AS i
"""
_SUMS = """
INSERT INTO usage_days (organization_id, day, project_id, key_id, model, calls, prompt_tokens,
    completion_tokens, cost_nanos)
SELECT organization_id, at / 86400000000, project_id, key_id, model, count(*), sum(prompt_tokens),
    sum(completion_tokens), sum(cost_nanos)
FROM ledger GROUP BY 1, 2, 3, 4, 5
"""


@dataclass(frozen=True, slots=True)
class StoreScale:
    """What was measured; times are medians.

    Attributes:
        sums: Rows of the days' sums.
        key_ms: To read what authentication must know of a key that is not in memory.
        key_worst_ms: The same, the second worst of 200.
        month_s: A month's usage by project.
        batch_ms: To book 500 calls.
        page_ms: A page of an export, from the middle of the ledger.
    """

    keys: int
    rows: int
    sums: int
    key_ms: float
    key_worst_ms: float
    month_s: float
    batch_ms: float
    page_ms: float


def fill(server: PostgresServer, database: str, *, keys: int, rows: int) -> None:
    """Make one organization with so many keys and calls."""

    def run(statement: str) -> None:
        server.run(statement, database)

    run(f"INSERT INTO organizations (id, name, created_at) VALUES ('{ORGANIZATION}', 'big', 1)")
    run(
        "INSERT INTO projects (id, organization_id, name, stores_content, created_at) "
        f"SELECT 'proj_' || i, '{ORGANIZATION}', 'p' || i, false, i "
        f"FROM generate_series(0, {PROJECTS - 1}) AS i"
    )
    run(
        "INSERT INTO keys (id, project_id, organization_id, name, mac, pepper_version, last4, created_at) "
        f"SELECT lpad(i::text, 10, '0'), 'proj_' || i % {PROJECTS}, '{ORGANIZATION}', 'k' || i, "
        f"sha256(i::text::bytea), 1, 'abcd', i FROM generate_series(0, {keys - 1}) AS i"
    )
    for name in _LEDGER_INDEXES:
        run(f"DROP INDEX {name}")
    step = max(1, rows // 10)
    for first in range(0, rows, step):
        run(
            _ENTRIES.format(
                days=DAYS,
                organization=ORGANIZATION,
                keys=keys,
                projects=PROJECTS,
                first=first,
                last=min(rows, first + step) - 1,
            )
        )
    for name, columns in _LEDGER_INDEXES.items():
        run(f"CREATE INDEX {name} ON ledger {columns}")
    run(_SUMS)
    run("VACUUM ANALYZE")


async def measure(url: str, *, keys: int, rows: int) -> StoreScale:
    """Ask what gateways and administrators ask."""
    database = Database(url, StorageSettings(deadline_s=30, admin_deadline_s=300))
    draw = random.Random(1)

    async def look_up() -> None:
        async with database.reading() as connection:
            assert await holders.find_key(connection, f"{draw.randrange(keys):010}") is not None

    async def sum_month() -> None:
        async with database.reading(deadline_s=300) as connection:
            found = await ledger.usage(
                connection, ORGANIZATION, first_day=30, last_day=59, by=("project_id",)
            )
            assert len(found) == min(PROJECTS, keys)

    async def book() -> None:
        calls = [_call(f"new_{draw.getrandbits(64)}", draw.randrange(keys)) for _ in range(500)]
        async with database.writing() as connection:
            assert len(await ledger.record(connection, calls)) == 500

    async def export() -> None:
        middle = DAYS // 2 * ledger.DAY_US
        async with database.reading() as connection:
            await ledger.list_of(connection, ORGANIZATION, since=middle, until=2**60)

    try:
        await look_up()
        key_times = await _times(look_up, 200)
        month_times = await _times(sum_month, 3)
        return StoreScale(
            keys=keys,
            rows=rows,
            sums=await _count_sums(database),
            key_ms=key_times[100] * 1e3,
            key_worst_ms=key_times[-2] * 1e3,
            month_s=month_times[1],
            batch_ms=(await _times(book, 5))[2] * 1e3,
            page_ms=(await _times(export, 5))[2] * 1e3,
        )
    finally:
        await database.close()


def run(*, keys: int, rows: int) -> StoreScale:
    """Start a server, fill it and measure."""
    with running_postgres("scale") as server:
        migrated(server.url("scale"))
        fill(server, "scale", keys=keys, rows=rows)
        return asyncio.run(measure(server.url("scale"), keys=keys, rows=rows))


async def _count_sums(database: Database) -> int:
    async with database.reading(deadline_s=300) as connection:
        return int((await connection.execute(select(func.count()).select_from(usage_days))).scalar_one())


async def _times(work: Callable[[], Awaitable[None]], count: int) -> list[float]:
    times = []
    for _ in range(count):
        began_s = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began_s)
    return sorted(times)


def _call(name: str, key: int) -> LedgerEntry:
    return LedgerEntry(
        id=name,
        request_id=name,
        at=DAYS * ledger.DAY_US,
        organization_id=ORGANIZATION,
        project_id=f"proj_{key % PROJECTS}",
        key_id=f"{key:010}",
        model="m",
        prompt_tokens=100,
        completion_tokens=50,
    )


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    began_s = time.monotonic()
    for name, value in asdict(run(keys=options.keys, rows=options.rows)).items():
        sys.stdout.write(f"{name:14} {value:,.3f}\n")
    sys.stdout.write(f"took {time.monotonic() - began_s:.0f} s\n")


if __name__ == "__main__":
    main()
