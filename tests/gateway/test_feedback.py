"""What callers say of replies: kept once each, of their own calls alone, in closed terms."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas import AsyncLMaaS, LMaaS
from lmaas_gateway.call import Principal
from lmaas_gateway.errors import InvalidBodyError, ObjectNotFoundError
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.quality.feedback import FeedbackBox, JudgedCall, KnownCalls
from lmaas_gateway.quality.opinions import Opinion
from lmaas_gateway.storage import erasure, feedback, ledger
from lmaas_gateway.storage.day_part import DayPart
from lmaas_gateway.storage.ledger import DAY_US
from lmaas_gateway.storage.records import LedgerEntry
from lmaas_gateway.testing import FakeReplica
from security.worlds import bearer, world_at
from support.serving import ASK, CHAT, run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lmaas_gateway.storage.database import Database

PATH = "/v1/feedback"
ANNA = Principal("p1", organization="org_a", project="proj_a", member="mem_anna", key="k1")
BERT = Principal("p2", organization="org_a", project="proj_a", key="k2")
OF_ANOTHER_PROJECT = Principal("p3", organization="org_a", project="proj_b", key="k3")
OF_ANOTHER_TENANT = Principal("p4", organization="org_b", project="proj_c", key="k4")
OF_THE_CONFIGURATION = Principal("ops")
HOSTILE: list[tuple[object, str]] = [
    ({"request_id": "req_1", "thumbs": "sideways"}, "thumbs"),
    ({"request_id": "req_1", "score": 1.5}, "score"),
    ({"request_id": "req_1", "score": "good"}, "score"),
    ({"request_id": "req_1", "label": "<script>alert(1)</script>"}, "label"),
    ({"request_id": "req_1", "label": "a" * 33}, "label"),
    ({"request_id": "req_1", "label": "line\n"}, "label"),
    ({"request_id": "req 1", "thumbs": "up"}, "request_id"),
    ({"request_id": "r" * 129, "thumbs": "up"}, "request_id"),
    ({"thumbs": "up"}, "request_id"),
    ({"request_id": "req_1", "thumbs": "up", "comment": "My name is Anna."}, "comment"),
    ({"request_id": "req_1"}, "says nothing"),
    ([], "array"),
]


def _call(number: int, **fields: Any) -> LedgerEntry:
    values: dict[str, Any] = {
        "organization_id": "org_a",
        "project_id": "proj_a",
        "key_id": "k1",
        "model": "m",
        "at": 3 * DAY_US,
    }
    return LedgerEntry(id=f"call_{number}", **({"request_id": f"req_{number}"} | values | fields))


async def _record(database: Database, *calls: LedgerEntry) -> None:
    async with database.writing() as connection:
        await ledger.record(connection, calls)


def _box(database: Database, naps: list[float] | None = None) -> FeedbackBox:
    async def sleep(seconds: float) -> None:
        if naps is not None:
            naps.append(seconds)

    return FeedbackBox(database, KnownCalls(database), Metrics(), clock=lambda: 7.0, sleep=sleep)


def _part(**fields: Any) -> DayPart:
    values: dict[str, Any] = {"first_day": 0, "last_day": 9, "organization_id": "org_a"}
    return DayPart(**(values | fields))


async def _totals(database: Database, **fields: Any) -> list[dict[str, Any]]:
    async with database.reading() as connection:
        return [msgspec.structs.asdict(one) for one in await feedback.totals(connection, _part(**fields))]


class TestBox:
    async def test_said_again_by_the_same_replaces_and_by_another_adds(self, database: Database) -> None:
        await _record(database, _call(1), _call(2, model="n", at=4 * DAY_US))
        box = _box(database)
        await box.take(ANNA, Opinion(request_id="req_1", thumbs="down", label="too-long"))
        again = await box.take(ANNA, Opinion(request_id="req_1", thumbs="up", score=0.5))
        assert (again.call, again.model, again.thumbs, again.score, again.label) == (
            "req_1",
            "m",
            "up",
            0.5,
            None,
        )
        await box.take(BERT, Opinion(request_id="req_1", thumbs="down", label="wrong"))
        await box.take(BERT, Opinion(request_id="req_2", score=1))
        first, second = await _totals(database)
        assert first == {
            "day": 3,
            "model": "m",
            "opinions": 2,
            "thumbs_up": 1,
            "thumbs_down": 1,
            "scores": 1,
            "score_sum": 0.5,
        }
        assert (second["day"], second["model"], second["thumbs_up"], second["score_sum"]) == (4, "n", 0, 1.0)
        async with database.reading() as connection:
            (label,) = await feedback.labels(connection, _part())
        assert (label.model, label.label, label.times) == ("m", "wrong", 1)

    async def test_sums_are_of_the_part_that_was_asked_for(self, database: Database) -> None:
        await _record(
            database,
            _call(1),
            _call(2, project_id="proj_b"),
            _call(3, organization_id="org_b", project_id="proj_c"),
        )
        box = _box(database)
        await box.take(ANNA, Opinion(request_id="req_1", thumbs="up"))
        await box.take(OF_ANOTHER_PROJECT, Opinion(request_id="req_2", thumbs="up"))
        await box.take(OF_ANOTHER_TENANT, Opinion(request_id="req_3", thumbs="up"))
        counted = [
            [one["opinions"] for one in await _totals(database, **fields)]
            for fields in (
                {},
                {"project_id": "proj_b"},
                {"organization_id": None},
                {"model": "other"},
                {"last_day": 2},
            )
        ]
        assert counted == [[2], [1], [3], [], []]

    async def test_call_of_another_tenant_project_or_key_is_one_that_never_was(
        self, database: Database
    ) -> None:
        await _record(database, _call(1), _call(2, organization_id="", project_id="", key_id="ops"))
        box = _box(database)
        for stranger in (OF_ANOTHER_PROJECT, OF_ANOTHER_TENANT, OF_THE_CONFIGURATION):
            with pytest.raises(ObjectNotFoundError, match="has no call 'req_1'"):
                await box.take(stranger, Opinion(request_id="req_1", thumbs="up"))
        with pytest.raises(ObjectNotFoundError):
            await box.take(Principal("other"), Opinion(request_id="req_2", thumbs="up"))
        assert await _totals(database, organization_id=None) == []
        assert (await box.take(OF_THE_CONFIGURATION, Opinion(request_id="req_2", thumbs="up"))).model == "m"

    async def test_of_calls_with_the_same_request_id_the_last_is_meant(self, database: Database) -> None:
        calls = [_call(n, request_id="same", at=n * DAY_US, model=f"m{n}") for n in (1, 3, 2)]
        await _record(database, *calls)
        assert (await _box(database).take(ANNA, Opinion(request_id="same", thumbs="up"))).model == "m3"

    async def test_opinion_that_says_nothing_is_refused(self, database: Database) -> None:
        with pytest.raises(InvalidBodyError, match="`thumbs`, `score` or `label`"):
            await _box(database).take(ANNA, Opinion(request_id="req_1"))

    async def test_call_that_has_just_ended_is_waited_for_and_no_longer_than_three_seconds(
        self, database: Database
    ) -> None:
        class Late:
            looks = 0

            async def find(self, principal: Principal, request_id: str) -> JudgedCall | None:
                del principal, request_id
                self.looks += 1
                return JudgedCall("proj_a", "m", 0) if self.looks == 3 else None

        naps: list[float] = []
        late = _box(database, naps)
        late._calls = Late()
        assert (await late.take(ANNA, Opinion(request_id="req_1", thumbs="up"))).model == "m"
        assert len(naps) == 2
        naps.clear()
        with pytest.raises(ObjectNotFoundError):
            await _box(database, naps).take(ANNA, Opinion(request_id="req_1", thumbs="up"))
        assert 2 < sum(naps) < 4

    async def test_what_was_said_goes_with_its_tenant_and_with_age(self, database: Database) -> None:
        calls = [_call(n, at=n * DAY_US) for n in range(5)]
        await _record(database, *calls, _call(9, organization_id="org_b", project_id="proj_c"))
        box = _box(database)
        for call in calls:
            await box.take(ANNA, Opinion(request_id=call.request_id, thumbs="up"))
        await box.take(OF_ANOTHER_TENANT, Opinion(request_id="req_9", thumbs="up"))
        async with database.writing() as connection:
            assert await feedback.drop_before(connection, 2 * DAY_US) == 2
        erased = await erasure.erase_rows(database, "org_a", batch=2)
        assert erased.feedback == 3
        assert [one["opinions"] for one in await _totals(database, organization_id=None)] == [1]


@contextlib.asynccontextmanager
async def _clients(port: int, key: str) -> AsyncIterator[tuple[LMaaS, AsyncLMaaS]]:
    options: dict[str, Any] = {"base_url": f"http://127.0.0.1:{port}", "api_key": key, "max_retries": 0}
    with LMaaS(**options) as client:
        async with AsyncLMaaS(**options) as twin:
            yield client, twin


async def test_reader_of_a_reply_says_what_it_was_worth_at_once(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("one")
        async with _clients(world.running.port, tenant.plain) as (client, twin):
            reply = await twin.chat.completions.create(**ASK)
            assert reply.request_id is not None
            given = await twin.feedback.create(request_id=reply.request_id, thumbs="up", label="concise")
            assert (given.call, given.model, given.thumbs, given.label) == (
                reply.request_id,
                "mock",
                "up",
                "concise",
            )
            request_id = reply.request_id
            scored = await asyncio.to_thread(
                lambda: client.feedback.create(request_id=request_id, score=0.25)
            )
            assert (scored.score, scored.thumbs) == (0.25, None)
        metrics = await world.running.get("/metrics", bearer(tenant.keys["viewer"]))
        assert b'lmaas_feedback_total{model="mock",thumbs="up"} 1.0' in metrics.body


async def test_feedback_outside_the_schema_is_refused(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("one")
        for body, word in HOSTILE:
            reply = await world.running.post(PATH, body, bearer(tenant.plain))
            assert (reply.status, reply.error["code"]) == (400, "invalid_body"), body
            assert word in reply.error["message"]
            assert "Anna" not in reply.error["message"]


async def test_key_that_is_for_other_routes_may_not_judge(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("one")
        key = {"project": tenant.ids["projects"], "name": "chat only", "scopes": {"routes": [CHAT]}}
        secret = (await world.make("/keys", key, tenant.organization))["secret"]
        reply = await world.running.post(PATH, {"request_id": "req_1", "thumbs": "up"}, bearer(secret))
        assert (reply.status, reply.error["code"]) == (403, "route_not_permitted")
        assert (await world.running.get(PATH, bearer(secret))).status == 405


async def test_gateway_that_stores_nothing_says_so() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        reply = await running.post(PATH, {"request_id": "req_1", "thumbs": "up"})
        assert (reply.status, reply.error["code"]) == (404, "not_found")
        assert "stores nothing" in reply.error["message"]
