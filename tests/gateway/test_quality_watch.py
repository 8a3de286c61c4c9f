"""The quality watch: a bounded sample, looked at behind the calls, of which only counts are kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.administration.requests import QualityQuery
from lmaas_gateway.call import Principal
from lmaas_gateway.errors import PermissionDeniedError
from lmaas_gateway.kept_reply import KeptReply
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.quality.feedback import FeedbackBox, JudgedCall
from lmaas_gateway.quality.opinions import Opinion
from lmaas_gateway.quality.watch import QualityWatch, Sample
from lmaas_gateway.settings import QualitySettings, StorageSettings
from lmaas_gateway.storage import erasure, quality
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.day_part import DayPart
from lmaas_gateway.storage.records import QualityDay
from lmaas_gateway.testing import FakeReplica, Script
from security.worlds import World, bearer, world_at
from support.administration import NOW_S, Bureau, actor, operator
from support.calls import make_call
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from support.serving import Running

DAY = int(NOW_S) // 86_400
PATH = "/quality?start=1700000000"
LOOP = "round and round the garden " * 12


def _watch(running: Running) -> QualityWatch:
    watch = running.gateway._counting.quality
    assert watch is not None
    return watch


def _sample(**fields: Any) -> Sample:
    reply = {"choices": [{"message": {"content": LOOP}, "finish_reason": "length"}]}
    values: dict[str, Any] = {
        "organization": "org_a",
        "project": "proj_a",
        "model": "m",
        "dialect": "chat",
        "request": b'{"messages":[]}',
        "reply": msgspec.json.encode(reply),
        "is_stream": False,
    }
    return Sample(**(values | fields))


def _lone(database: Database | None = None, rate: float = 1.0, **options: Any) -> QualityWatch:
    return QualityWatch(QualitySettings(sample_rate=rate, max_per_s=5), Metrics(), database, **options)


async def _totals(database: Database, **fields: Any) -> list[dict[str, Any]]:
    values: dict[str, Any] = {"first_day": 0, "last_day": 10**5, "organization_id": None}
    async with database.reading() as connection:
        found = await quality.totals(connection, DayPart(**(values | fields)))
    return [msgspec.structs.asdict(one) for one in found]


async def test_replies_are_looked_at_and_pass_unchanged(tmp_path: Path) -> None:
    async with world_at(tmp_path, quality={"sample_rate": 1.0, "max_per_s": 100}) as world:
        tenant = await world.tenant("one")
        world.replica.script = Script(text=LOOP, tokens=60)
        whole = await world.running.post(CHAT, ASK, bearer(tenant.plain))
        streamed = await world.running.post(CHAT, STREAM, bearer(tenant.plain))
        assert (whole.status, streamed.status) == (200, 200)
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        watch = _watch(world.running)
        (row,) = await _shown(world, watch, tenant.keys["viewer"], checked=2)
        assert (row["model"], row["checked"], row["repeating"], row["truncated"]) == ("mock", 2, 1, 1)
        assert row["rates"]["repeating"] == 0.5
        assert row["rates"]["schema_failed"] is None
        metrics = (await world.running.get("/metrics", bearer(tenant.keys["viewer"]))).body
        assert b'lmaas_quality_flagged_total{flag="repeating",model="mock"} 1.0' in metrics
        assert b'lmaas_quality_checked_total{flag="repeating",model="mock"} 2.0' in metrics
        assert b"garden" not in metrics
        other = await world.tenant("other")
        assert (await world.ask("GET", PATH, b"", other.keys["owner"])).json["data"] == []


async def _shown(world: World, watch: QualityWatch, key: str, *, checked: int) -> list[dict[str, Any]]:
    """Have all looked at and kept; the gateway's own rounds may have been quicker with some."""
    async with asyncio.timeout(30):
        while True:
            await watch.look()
            await watch.flush()
            data: list[dict[str, Any]] = (await world.ask("GET", PATH, b"", key)).json["data"]
            if sum(row["checked"] for row in data) == checked:
                return data
            await asyncio.sleep(0.05)


async def test_gateway_that_looks_at_none_has_no_watch() -> None:
    async with FakeReplica() as replica:
        settings = settings_for(replica, quality={"sample_rate": 0})
        async with run_gateway(settings) as running:
            assert (await running.post(CHAT, ASK)).status == 200
            assert running.gateway._counting.quality is None


async def test_replies_that_broke_off_or_are_refusals_of_the_gateway_are_not_counted() -> None:
    async with FakeReplica() as replica:
        settings = settings_for(replica, quality={"sample_rate": 1, "max_per_s": 100})
        async with run_gateway(settings) as running:
            watch = _watch(running)
            await running.post(CHAT, {**ASK, "model": "none"})
            await running.post("/v1/tokenize", {"model": "mock", "prompt": "one"})
            await running.logged(2)
            assert not watch._waiting
            await running.post(CHAT, ASK)
            await watch.look()
            # Without a store there are metrics alone.
            assert not watch._days


class TestBounds:
    def test_sample_is_drawn_and_no_more_than_so_many_a_second(self) -> None:
        now, draws = [100.0], iter([0.2, 0.04] * 50)
        watch = _lone(rate=0.05, clock=lambda: now[0], draw=lambda: next(draws))
        assert [watch.wants(make_call()) for _ in range(20)] == [False, True] * 5 + [False] * 10
        now[0] += 1
        assert [watch.wants(make_call()) for _ in range(2)] == [False, True]

    def test_what_waits_is_bounded(self) -> None:
        watch = _lone(clock=lambda: 100.0)
        watch._waiting.extend([_sample()] * 32)
        assert not watch.wants(make_call())

    async def test_long_reply_is_not_kept_waiting(self) -> None:
        class Long:
            status, content_type, is_stream, is_over = 200, b"", False, True
            content_length: bytes | None = None

            def begin(self) -> bytes:
                return b"x" * (2**20 + 1)

            async def read(self, outlet: object = None) -> bytes:
                del outlet
                return b""

            def note_usage(self) -> None: ...

        watch, exits = _lone(), list[Any]()
        meter: Any = type("Meter", (), {"model": "m"})
        reply = watch.keep(Long(), make_call(), Principal("p"), meter=meter, exits=exits)
        assert isinstance(reply, KeptReply)
        reply.begin()
        exits.pop()()
        assert not watch._waiting


async def test_counts_wait_for_a_database_that_is_away(database: Database) -> None:
    away = Database(
        "postgresql://nobody@127.0.0.1:9/none", StorageSettings(deadline_s=0.05, admin_deadline_s=0.2)
    )
    watch = _lone(away, clock=lambda: NOW_S)
    watch._waiting.extend([_sample(), _sample()])
    await watch.look()
    await watch.flush()
    await away.close()
    watch._database = database
    await watch.flush()
    await watch.flush()
    (row,) = await _totals(database)
    assert (row["day"], row["checked"], row["truncated"], row["repeating"]) == (DAY, 2, 2, 2)


async def test_one_reply_that_cannot_be_looked_at_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sample: Sample) -> None:
        raise ValueError(sample.reply.decode())

    monkeypatch.setattr("lmaas_gateway.quality.watch._judge", fail)
    watch = _lone()
    watch._waiting.append(_sample())
    await watch.look()
    assert "ValueError" in caplog.text
    assert "garden" not in caplog.text


async def test_watch_looks_twice_a_second_and_flushes_every_ten(database: Database) -> None:
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        if sum(naps) > 10.4:
            raise asyncio.CancelledError

    watch = _lone(database, clock=lambda: NOW_S)
    watch._waiting.append(_sample())
    with pytest.raises(asyncio.CancelledError):
        await watch.run(sleep)
    assert [row["checked"] for row in await _totals(database)] == [1]


def _day(**fields: Any) -> QualityDay:
    values: dict[str, Any] = {"day": DAY, "organization_id": "org_a", "project_id": "proj_a", "model": "m"}
    return QualityDay(**(values | {"checked": 10, "refused": 1} | fields))


async def test_counts_of_days_add_up_and_go_with_their_tenant(database: Database) -> None:
    for _ in range(2):
        async with database.writing() as connection:
            await quality.add(connection, [_day(), _day(project_id="proj_b"), _day(organization_id="org_b")])
            await quality.add(connection, [])
    assert [row["checked"] for row in await _totals(database)] == [60]
    assert [row["checked"] for row in await _totals(database, organization_id="org_a")] == [40]
    assert [
        row["refused"] for row in await _totals(database, organization_id="org_a", project_id="proj_b")
    ] == [2]
    await erasure.erase_rows(database, "org_a")
    assert [row["checked"] for row in await _totals(database)] == [20]


async def test_listing_puts_what_was_said_beside_what_was_seen(database: Database, tmp_path: Path) -> None:
    bureau = Bureau(database, tmp_path)
    async with database.writing() as connection:
        await quality.add(
            connection,
            [
                _day(with_schema=4, schema_failed=1),
                _day(project_id="proj_b"),
                _day(organization_id="org_b", model="x"),
            ],
        )

    class Calls:
        async def find(self, principal: Principal, request_id: str) -> JudgedCall:
            del request_id
            return JudgedCall(principal.project, "m", int(NOW_S * 1e6))

    box = FeedbackBox(database, Calls(), Metrics())
    for number, opinion in enumerate(
        ({"thumbs": "up"}, {"thumbs": "down", "label": "wrong"}, {"score": 0.5})
    ):
        caller = Principal("k", organization="org_a", project="proj_a", key=f"k{number}")
        await box.take(caller, Opinion(request_id="req_1", **opinion))  # type: ignore[arg-type]  # as JSON has it
    service, query = bureau.services.quality, QualityQuery(start=int(NOW_S) - 86_400)
    (row,) = (await service.list(actor("org_a", "viewer"), query)).data
    assert (row.day, row.model, row.checked, row.rates["schema_failed"]) == ("2023-11-14", "m", 20, 0.25)
    assert (row.opinions, row.thumbs_up_rate, row.mean_score, row.labels) == (3, 0.5, 0.5, {"wrong": 1})
    (bound,) = (await service.list(actor("org_a", "viewer", bound_to="proj_b"), query)).data
    assert (bound.checked, bound.opinions, bound.thumbs_up_rate) == (10, 0, None)
    everything = (await service.list(operator(), query)).data
    assert [(one.model, one.checked) for one in everything] == [("m", 20), ("x", 10)]
    one_model = QualityQuery(start=0, end=int(NOW_S) + 1, model="x")
    assert [one.model for one in (await service.list(operator(), one_model)).data] == ["x"]
    with pytest.raises(PermissionDeniedError):
        await service.list(actor("org_a", None), query)
