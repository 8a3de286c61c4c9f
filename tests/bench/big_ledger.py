"""A ledger of a month's millions of calls on PostgreSQL, and how long its usage by project takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from bench.tenants import ORGANIZATION
from lmaas_gateway.storage import ledger
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.ledger import DAY_US
from lmaas_gateway.storage.schema import migrate

FIRST_DAY, DAYS = 20_000, 31
ORGANIZATIONS, PROJECTS, KEYS, MODELS = 2, 50, 1000, 4
_QUERIES = 9

# An index that is made of all rows takes a fraction of the time of one that grows with each.
_INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = 'ledger' AND indexname LIKE 'ix_%' ORDER BY 1"
_DROP_INDEX = "DROP INDEX {}"
_MEMORY = "SET maintenance_work_mem = '512MB'; "
# Half of the calls are the organization's that is asked about; they are spread evenly over the month.
_FILL = f"""
INSERT INTO ledger (id, request_id, at, organization_id, project_id, key_id, member_id, model, replica, route,
  is_stream, prompt_tokens, completion_tokens, is_estimated, first_byte_us, duration_us, outcome, status,
  source, cost_nanos)
SELECT 'call_' || lpad(n::text, 20, '0'), 'request-' || n,
  {FIRST_DAY * DAY_US} + (n * ({DAYS * DAY_US}::numeric / {{rows}}))::bigint,
  CASE n % {ORGANIZATIONS} WHEN 0 THEN '{{organization}}' ELSE 'org_other' || n % {ORGANIZATIONS} END,
  'proj_' || n / 7 % {PROJECTS}, 'key_' || n / 7 % {KEYS}, '', 'model-' || n / 11 % {MODELS}, 'replica-0',
  '/v1/chat/completions', n % 3 = 0, n % 4000, n % 500, false, 90000, 2000000, 'ok', 200, '', n % 100000
FROM generate_series(0, {{rows}} - 1) n
"""
_ADD_UP = f"""
INSERT INTO usage_days (organization_id, day, project_id, key_id, model, calls, prompt_tokens,
  completion_tokens, duration_us, cost_nanos)
SELECT organization_id, at / {DAY_US}, project_id, key_id, model, count(*), sum(prompt_tokens),
  sum(completion_tokens), sum(duration_us), sum(cost_nanos)
FROM ledger GROUP BY 1, 2, 3, 4, 5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What asking for it came to.

    Attributes:
        rows: Of the ledger.
        calls: Those that the sums speak of.
        is_right: Whether the ledger's own rows, added up, are the same.
        added_up_s: How long that took, for comparison.
    """

    rows: int
    calls: int
    projects: int
    median_s: float
    slowest_s: float
    is_right: bool
    added_up_s: float


def span() -> tuple[date, date]:
    """Give the first and the last day of the month."""
    first = date(1970, 1, 1) + timedelta(days=FIRST_DAY)
    return first, first + timedelta(days=DAYS - 1)


def fill(run: Callable[[str], str], rows: int, organization: str = ORGANIZATION) -> None:
    """Put so many calls into a ledger that has its tables; half of them are of this organization.

    Args:
        run: Runs a statement there, past the gateway's code.
        rows: How many.
        organization: Its id.
    """
    indexes = run(_INDEXES).splitlines()
    for definition in indexes:
        run(_DROP_INDEX.format(definition.split()[2]))
    run(_FILL.format(rows=rows, organization=organization))
    for definition in indexes:
        run(_MEMORY + definition)
    run(_ADD_UP)
    run("VACUUM ANALYZE ledger, usage_days")


async def ask_for_month(url: str, rows: int, run: Callable[[str], str]) -> Month:
    """Fill an empty database, and ask.

    Args:
        url: Of the database.
        rows: How many calls it shall hold.
        run: Runs a statement there, past the gateway's code.
    """
    database = Database(url)
    try:
        await migrate(database)
        fill(run, rows)
        took = []
        for _ in range(_QUERIES):
            began_s = time.perf_counter()
            async with database.reading(deadline_s=60) as connection:
                found = await ledger.usage(
                    connection,
                    ORGANIZATION,
                    first_day=FIRST_DAY,
                    last_day=FIRST_DAY + DAYS - 1,
                    by=("project_id",),
                )
            took.append(time.perf_counter() - began_s)
    finally:
        await database.close()
    began_s = time.perf_counter()
    counted, cost = run(
        f"SELECT count(*), sum(cost_nanos) FROM ledger WHERE organization_id = '{ORGANIZATION}'"
    ).split("|")
    calls = sum(one.calls for one in found)
    return Month(
        rows=rows,
        calls=calls,
        projects=len(found),
        median_s=median(took),
        slowest_s=max(took),
        is_right=(int(counted), int(cost)) == (calls, sum(one.cost_nanos for one in found)),
        added_up_s=time.perf_counter() - began_s,
    )
