"""Records of calls: what is written when one ends, and how they are found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.board import Seat
from lmaas_gateway.call import Principal, Usage
from lmaas_gateway.entries import Entry
from lmaas_gateway.meter import Meter
from lmaas_gateway.notes import SALT, Choice, Failure, Fallback, Wait
from lmaas_gateway.prices import Price
from lmaas_gateway.records.record import CallRecord, decode, encode
from lmaas_gateway.records.recorder import Recorder
from lmaas_gateway.records.records import Records, Wanted
from lmaas_gateway.records.ring import MAX_RECORD_BYTES
from lmaas_gateway.records.rings import Rings
from lmaas_gateway.settings import RecordSettings

if TYPE_CHECKING:
    from pathlib import Path

ENDED_S = 1_800_000_000.0
ACME = Principal("k", organization="org_1", project="proj_1", key="key_1", member="mem_1")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Prices:
    def find(self, model: str) -> tuple[Price, str]:
        price = Price(input_per_million_nanos=10**9)
        return (price, price.text()) if model == "priced" else (Price(), "")


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


class Desk:
    """A recorder, what it wrote, and calls that end."""

    def __init__(self, *, seat: Seat | None = None, **settings: Any) -> None:
        rules = RecordSettings.model_validate({"calls": 64, "notable_calls": 16, **settings})
        self.rings = Rings(rules, seat)
        self.recorder = Recorder(self.rings, Prices(), slow_s=rules.slow_s)
        self.records = Records(self.rings)
        self.ended_s = ENDED_S

    def end(
        self, request_id: str, *, caller: Principal | None = ACME, took_s: float = 0.5, **fields: Any
    ) -> None:
        """End a call whose meter knows these fields."""
        self.end_metered(Meter(request_id, "/v1/chat/completions", Clock()), caller, took_s, **fields)

    def end_metered(self, meter: Meter, caller: Principal | None, took_s: float, **fields: Any) -> None:
        meter.caller = caller
        for name, value in fields.items():
            setattr(meter, name, value)
        self.ended_s += 1
        self.recorder.close(meter, self.ended_s, took_s, meter.first_byte_s())

    async def ids(self, organization: str | None = None, **wanted: Any) -> list[str]:
        found = await self.records.list(Wanted(organization=organization, **wanted))
        return [record.request_id for record in found.records]


async def test_record_has_all_that_the_meter_knows() -> None:
    desk, clock = Desk(), Clock()
    meter = Meter("req_1", "/v1/chat/completions", clock)
    clock.now_s += 0.25
    meter.see_sent(3)
    clock.now_s += 0.5
    meter.see_first_byte()
    candidates = [Named(f"mock-{number}") for number in range(20)]
    desk.end_metered(
        meter,
        ACME,
        2.0,
        model="priced",
        replica="mock-1",
        status=200,
        usage=Usage(1000, 7, 128, reasoning_tokens=2),
        attempts=1,
        queued_s=0.125,
        applied=SALT,
        choice=Choice(candidates[1], "prefix_aware", candidates, [0.0] * 20, [1.5] * 20),
        wait=Wait(2, 8, 8),
        failures=[Failure("priced", "mock-0", "connect", 0, 1200)],
        fallbacks=[Fallback("first", "queue_full")],
        reply_headers=[(b"x-ratelimit-remaining-tokens", b"12")],
        engine_us=(10, 20, 30),
    )
    record = await desk.records.find("org_1", "req_1")
    assert record is not None
    assert record.at_us == int((ENDED_S + 1 - 2.0) * 1e6)
    assert (record.project, record.key, record.member) == ("proj_1", "key_1", "mem_1")
    assert (record.sent_us, record.first_byte_us, record.duration_us) == (250_000, 750_000, 2_000_000)
    assert (record.queued_us, record.beside, record.applied) == (125_000, 3, SALT)
    assert (record.prompt_tokens, record.cached_tokens, record.completion_tokens) == (1000, 128, 7)
    assert (record.policy, len(record.candidates), record.worth[0]) == ("prefix_aware", 20, 1.5)
    assert (record.wait, record.engine_us) == (Wait(2, 8, 8), (10, 20, 30))
    assert record.failures == [Failure("priced", "mock-0", "connect", 0, 1200)]
    assert record.fallbacks == [Fallback("first", "queue_full")]
    assert record.headers == [(b"x-ratelimit-remaining-tokens", b"12")]
    assert (record.cost_nanos, Price.parse(record.price).input_per_million_nanos) == (872_000, 10**9)


async def test_bill_is_that_of_the_books_where_there_are_any() -> None:
    desk = Desk()
    entry = Entry(1, "r", 1, "org_1", "", "", "", "m", "", "", is_stream=False, price="{}", cost_nanos=42)
    desk.end("r", entry=entry)
    record = await desk.records.find("org_1", "r")
    assert record is not None
    assert (record.price, record.cost_nanos) == ("{}", 42)


async def test_caller_who_was_not_let_in_leaves_no_record() -> None:
    desk = Desk()
    desk.end("stranger", caller=None)
    assert await desk.ids() == []


async def test_calls_worth_a_look_outlast_many_quick_ones() -> None:
    desk = Desk(slow_s=5)
    desk.end("failed", outcome="error", status=503)
    desk.end("slow", took_s=6)
    desk.end("retried", attempts=2)
    for number in range(200):
        desk.end(f"quick {number}")
    ids = await desk.ids()
    assert len(ids) == 50
    found = await desk.records.list(Wanted(organization=None), limit=100)
    assert [record.request_id for record in found.records][-3:] == ["retried", "slow", "failed"]
    assert len(found.records) == 64 + 3


async def test_record_that_is_too_long_loses_what_may_be_long() -> None:
    desk = Desk()
    long = [(b"x" * 600, b"y" * 600)]
    desk.end("long", reply_headers=long, model="m" * 300, replica="r" * 100)
    record = await desk.records.find("org_1", "long")
    assert record is not None
    assert (record.headers, record.model) == ([], "m" * 300)


async def test_record_of_many_candidates_keeps_the_first_of_them() -> None:
    desk, candidates = Desk(), [Named(f"replica-with-a-name-{number}") for number in range(64)]
    many = Choice(candidates[0], "least_tokens", candidates, [1.0] * 64, [])
    desk.end("many", choice=many, reply_headers=[(b"age", b"1")])
    record = await desk.records.find("org_1", "many")
    assert record is not None
    assert (len(record.candidates), len(record.loads), record.headers) == (12, 12, [(b"age", b"1")])


async def test_record_that_is_far_too_long_is_left_out() -> None:
    desk = Desk()
    desk.end("longer", model="m" * MAX_RECORD_BYTES)
    desk.end("next")
    assert await desk.ids() == ["next"]


async def test_newest_of_calls_with_one_id_is_found_in_its_own_organization_and_project() -> None:
    desk = Desk()
    other = Principal("k", organization="org_2", project="proj_2")
    desk.end("same", model="first")
    desk.end("same", model="second")
    desk.end("same", model="another's", caller=other)
    desk.end("same", model="configured", caller=Principal("name"))

    async def model(organization: str | None, **more: Any) -> str | None:
        record = await desk.records.find(organization, "same", **more)
        return None if record is None else record.model

    assert await model("org_1") == "second"
    assert await model("org_2") == "another's"
    assert await model("") == "configured"
    assert await model(None) == "configured"
    assert await model("org_3") is None
    assert await model("org_1", project="proj_9") is None
    assert await desk.records.find("org_1", "sam") is None


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, ["configured", "slow", "gone", "failed", "other", "plain"]),
        ({"failed": True}, ["failed"]),
        ({"slow_over_s": 2.0}, ["slow"]),
        ({"model": "m2"}, ["other"]),
        ({"project": "proj_1"}, ["slow", "gone", "failed", "other", "plain"]),
        ({"since_us": int((ENDED_S + 5) * 1e6)}, ["configured", "slow"]),
    ],
)
async def test_calls_are_listed_newest_first_by_what_they_are(wanted: dict[str, Any], ids: list[str]) -> None:
    desk = Desk(slow_s=2)
    desk.end("plain", model="m1")
    desk.end("other", model="m2")
    desk.end("failed", outcome="interrupted", status=200)
    desk.end("gone", outcome="client_gone", status=499)
    desk.end("slow", took_s=3)
    desk.end("configured", caller=Principal("name"))
    assert await desk.ids(**wanted) == ids
    if not wanted:
        assert await desk.ids("org_1") == ids[1:]
        assert await desk.ids("") == ["configured"]
        assert await desk.ids("org_2") == []
        recent = await desk.records.recent("org_1", failed=True)
        assert [record.request_id for record in recent] == ["failed"]


async def test_parts_of_a_listing_follow_each_other_though_new_calls_come_and_ids_repeat(
    tmp_path: Path,
) -> None:
    desks = [Desk(seat=Seat(tmp_path, slot, 2), slow_s=0.6) for slot in range(2)]
    for number in range(12):
        desks[number % 2].ended_s = ENDED_S + number // 2
        desks[number % 2].end("same" if number % 3 else f"own {number}", took_s=0.7 if number % 4 else 0.1)
    whole = (await desks[0].records.list(Wanted(organization="org_1"))).records
    assert len(whole) == 12
    assert [record.ended_us for record in whole] == sorted(
        (record.ended_us for record in whole), reverse=True
    )
    after, seen = None, list[CallRecord]()
    while True:
        found = await desks[1].records.list(Wanted(organization="org_1"), after=after, limit=5)
        seen += found.records
        desks[0].ended_s += 100
        desks[0].end("newer")
        if not found.has_more:
            break
        after = found.last
    assert tuple(seen) == whole


async def test_what_another_version_wrote_is_passed_over() -> None:
    desk = Desk()
    desk.end("ours")
    desk.rings.usual.write(msgspec.msgpack.encode(["theirs"]))
    assert await desk.ids() == ["ours"]
    assert await desk.records.find(None, "theirs") is None


def test_record_of_an_older_version_has_defaults_for_what_it_does_not_know() -> None:
    record = CallRecord(1, "r", "", "", "k", "", "m", "", "/v1", is_stream=False, outcome="ok", status=200)
    fields = msgspec.msgpack.decode(encode(record))[:12]
    assert decode(msgspec.msgpack.encode(fields)) == record
