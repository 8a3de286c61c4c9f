"""What administrators read in the books: sums, utilisation and files, on both databases."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet
import pytest

from lmaas_gateway.administration import requests, usage
from lmaas_gateway.books.ledger import StoredLedger
from lmaas_gateway.entries import Entry
from lmaas_gateway.errors import BadRequestError
from lmaas_gateway.settings import Settings
from support.administration import MASTER_KEY, NOW_S, Bureau, actor, operator

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.storage.database import Database

# Midnight, six hours and some before `NOW_S`.
DAY_S = int(NOW_S) // 86_400 * 86_400


def call(number: int, **fields: Any) -> tuple[str, Entry]:
    entry = Entry(
        number, "req", DAY_S * 10**6 + number, "org_a", "proj_a", "k", "", "m", "m-0", "/v1/x", False
    )
    for name, value in {"status": 200, "completion_tokens": 2, "cost_nanos": 5, **fields}.items():
        setattr(entry, name, value)
    return f"call_{number:04}", entry


@pytest.fixture
def bureau(database: Database, tmp_path: Path) -> Bureau:
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "master_key": MASTER_KEY,
            "models": [{"name": "m", "model": "x", "replicas": 2, "price": {"gpu_second": "0.001"}}],
        }
    )
    return Bureau(database, tmp_path, settings)


async def text_of(pieces: Any) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_operators_see_how_busy_the_machines_of_a_model_were(bureau: Bureau) -> None:
    hour_ns = 3600 * 10**9
    await StoredLedger(bureau.database).add(
        [call(1, busy_ns=hour_ns), call(2, organization="org_b", busy_ns=hour_ns), call(3, model="other")]
    )
    query = requests.UsageQuery(start=DAY_S - 10 * 86_400, group_by="model")
    page = await bureau.services.usage.list(operator(), query)
    mine, other = page.data
    hours = (NOW_S - DAY_S) / 3600
    assert (mine.calls, mine.busy_seconds) == (2, 7200.0)
    # Two replicas since the first call's midnight: two hours of work in twice so many.
    assert mine.utilization == pytest.approx(2 / (2 * hours), abs=1e-6)
    assert mine.machine_cost_nanos == 2 * (int(NOW_S) - DAY_S) * 10**6
    assert (other.model, other.utilization, other.machine_cost_nanos) == ("other", None, None)


async def test_tenants_see_their_own_part_only(bureau: Bureau) -> None:
    await StoredLedger(bureau.database).add([call(1, busy_ns=10**9), call(2, organization="org_b")])
    query = requests.UsageQuery(start=DAY_S, group_by="model")
    (mine,) = (await bureau.services.usage.list(actor("org_a"), query)).data
    assert (mine.calls, mine.busy_seconds, mine.cost_nanos) == (1, 1.0, 5)
    assert mine.utilization is None


@pytest.mark.parametrize("who", [operator(), actor("org_a")], ids=["operator", "tenant"])
async def test_groups_come_in_parts(bureau: Bureau, monkeypatch: pytest.MonkeyPatch, who: Actor) -> None:
    monkeypatch.setattr(usage, "_MAX_GROUPS", 2)
    await StoredLedger(bureau.database).add([call(number, model=f"ü{number}") for number in range(5)])
    models, after = [], None
    for has_more in (True, True, False):
        query = requests.UsageQuery(start=DAY_S, group_by="day,model", after=after)
        page = await bureau.services.usage.list(who, query)
        models += [one.model for one in page.data]
        assert page.has_more == has_more
        after = page.last_id
    assert models == [f"ü{number}" for number in range(5)]


@pytest.mark.parametrize("after", ["nonsense", "!", "W10", "WzFd", "WyJhIiwiYiJd", "WzEsMl0"])
async def test_place_that_is_none_is_refused(bureau: Bureau, after: str) -> None:
    query = requests.UsageQuery(start=DAY_S, group_by="day,model", after=after)
    with pytest.raises(BadRequestError, match="last_id"):
        await bureau.services.usage.list(actor("org_a"), query)


async def test_export_gives_every_call_in_every_format(bureau: Bureau) -> None:
    await StoredLedger(bureau.database).add(
        [call(number, model="=m" if number == 7 else "m") for number in range(2500)]
        + [call(9000, organization="org_b")]
    )
    files = {
        name: await bureau.services.usage.export(
            actor("org_a"), requests.ExportQuery(start=DAY_S, format=name)
        )
        for name in ("csv", "jsonl", "parquet")
    }
    lines = list(csv.DictReader(io.StringIO((await text_of(files["csv"].pieces)).decode())))
    objects = [msgspec.json.decode(line) for line in (await text_of(files["jsonl"].pieces)).splitlines()]
    table = pyarrow.parquet.read_table(io.BytesIO(await text_of(files["parquet"].pieces)))
    ids = [f"call_{number:04}" for number in range(2500)]
    assert [line["id"] for line in lines] == [one["id"] for one in objects] == table["id"].to_pylist() == ids
    assert lines[7]["model"] == "'=m"
    assert table["cost_nanos"].to_pylist() == [5] * 2500
    assert table.schema.field("is_stream").type == "bool"
    assert "usage.export" in await bureau.actions()


async def test_export_is_made_part_by_part(bureau: Bureau) -> None:
    await StoredLedger(bureau.database).add([call(number) for number in range(2500)])
    query = requests.ExportQuery(start=DAY_S, format="csv")
    file = await bureau.services.usage.export(actor("org_a"), query)
    sizes = [len(piece) async for piece in file.pieces]
    assert len(sizes) == 4
    assert max(sizes) < 0.5 * sum(sizes)
