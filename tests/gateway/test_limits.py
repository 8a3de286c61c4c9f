"""Limits of keys and models, over sockets: what is let through, what callers are told, what is given back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lmaas_gateway.call import Principal, Usage
from lmaas_gateway.limits.rules import Limit
from lmaas_gateway.limits.stage import Limiter
from lmaas_gateway.limits.stores import LocalStore
from lmaas_gateway.limits.table import Table
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.replicas.pool import Pool
from lmaas_gateway.settings import CacheSettings, LimitSettings, PriceSettings
from lmaas_gateway.testing import FakeReplica, Script
from support.calls import make_call
from support.serving import ASK, CHAT, STREAM, Running, run_gateway, settings_for
from support.stub import Response, raw_client, request_bytes

if TYPE_CHECKING:
    from lmaas_gateway.call import Exits
    from lmaas_gateway.limits.reservation import Reservation

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"
AUTH = f"authorization: Bearer {KEY}"


def limited(*replicas: FakeReplica, **limits: Any) -> Any:
    keys = [{"name": "tight", "key": KEY, "limits": limits}, {"name": "other", "key": OTHER}]
    return settings_for(*replicas, keys=keys)


def held(running: Running) -> int:
    return running.gateway.limiter.reserved_tokens


async def ask(running: Running, **fields: Any) -> Response:
    return await running.post(CHAT, {**ASK, **fields}, AUTH)


async def test_call_past_the_limit_is_refused_and_told_which_limit_and_when() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, requests_per_minute=2)) as running:
        first, second, third = [await ask(running) for _ in range(3)]
        assert (first.status, second.status, third.status) == (200, 200, 429)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"] == "1m0s"
        assert third.headers["x-ratelimit-remaining-requests"] == "0"
        assert 59 <= int(third.headers["retry-after"]) <= 61
        error = third.error
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "key tight: 2 requests a minute" in error["message"]
        other = await running.post(CHAT, ASK, f"authorization: Bearer {OTHER}")
        assert other.status == 200
        assert "x-ratelimit-limit-requests" not in other.headers
        metrics = (await running.get("/metrics", AUTH)).body.decode()
        assert 'lmaas_limit_refusals_total{metric="requests",period="minute",subject="key"} 1.0' in metrics
    assert replica.requests == 3


async def test_hundred_of_many_calls_at_once_get_through() -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=0.05)) as replica,
        run_gateway(limited(replica, requests_per_minute=100)) as running,
    ):
        replies = await asyncio.gather(*(ask(running, max_tokens=1) for _ in range(300)))
        assert sorted({reply.status for reply in replies}) == [200, 429]
        assert sum(reply.status == 200 for reply in replies) == 100


async def test_tokens_are_settled_to_what_the_replica_counted() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=10_000)) as running:
        usage = (await ask(running, max_tokens=5)).json["usage"]
        second = await ask(running, max_tokens=5)
        left = int(second.headers["x-ratelimit-remaining-tokens"])
        await running.logged(2)
        assert held(running) == 0
        third = await ask(running, max_tokens=5)
        assert left - int(third.headers["x-ratelimit-remaining-tokens"]) == usage["total_tokens"]


async def test_call_that_alone_is_too_large_is_told_not_to_retry() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=100)) as running:
        reply = await ask(running, max_tokens=5000)
        assert reply.status == 429
        assert reply.headers["x-should-retry"] == "false"
        assert "alone may need" in reply.error["message"]
        assert held(running) == 0


@pytest.mark.parametrize("fields", [{}, {"stream": True}])
async def test_place_in_flight_is_free_again_when_the_call_ends(fields: dict[str, Any]) -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, calls_in_flight=1)) as running:
        for _ in range(3):
            assert (await ask(running, max_tokens=2, **fields)).status == 200


async def test_place_in_flight_is_free_again_when_its_client_leaves() -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=30)) as replica,
        run_gateway(limited(replica, calls_in_flight=1, tokens_per_minute=20_000)) as running,
    ):
        async with raw_client(running.port) as client:
            client.send(request_bytes(CHAT, {**ASK, "max_tokens": 5}, AUTH))
            await replica.record.until(lambda: replica.running == 1)
            assert (await ask(running)).status == 429
        await running.until(lambda: held(running) == 0)
        replica.script = Script()
        reply = await ask(running, max_tokens=5)
        assert reply.status == 200
        # Nobody knows what was made for who left: what it held stands.
        assert int(reply.headers["x-ratelimit-remaining-tokens"]) < 20_000 - 2 * 500


async def test_refused_and_failed_calls_cost_no_tokens() -> None:
    async with (
        FakeReplica(script=Script(status=400)) as replica,
        run_gateway(limited(replica, tokens_per_minute=10_000)) as running,
    ):
        first = await ask(running, max_tokens=5)
        second = await ask(running, max_tokens=5)
        name = "x-ratelimit-remaining-tokens"
        assert (first.status, first.headers[name]) == (400, second.headers[name])


async def test_reply_without_a_bound_is_given_one() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=10_000)) as running:
        assert (await ask(running)).status == 200
        assert replica.calls[0].request.fields["max_completion_tokens"] == 2500
        other = await running.post(CHAT, ASK, f"authorization: Bearer {OTHER}")
        assert other.status == 200
        assert "max_completion_tokens" not in replica.calls[1].request.fields


async def test_limit_of_a_model_counts_everybodys_calls() -> None:
    async with FakeReplica() as replica:
        wanted = limited(replica)
        model = wanted.models[0]
        quotas = model.limits.model_copy(update={"requests_per_day": 2})
        models = (model.model_copy(update={"limits": quotas}),)
        async with run_gateway(wanted.model_copy(update={"models": models})) as running:
            keys = (KEY, OTHER, KEY)
            replies = [await running.post(CHAT, ASK, f"authorization: Bearer {key}") for key in keys]
            assert [reply.status for reply in replies] == [200, 200, 429]
            assert "model mock: 2 requests a day" in replies[2].error["message"]


async def test_stream_settles_to_its_usage() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=10_000)) as running:
        assert (await running.post(CHAT, STREAM, AUTH)).status == 200
        record = await running.logged()
        reply = await ask(running, max_tokens=1)
        used = record["prompt_tokens"] + record["completion_tokens"]
        held_by_one = 10_000 - used - int(reply.headers["x-ratelimit-remaining-tokens"])
        assert 0 < held_by_one < 700
        assert held(running) == 0


async def test_changed_limits_hold_from_the_next_call_on_and_forget_nothing() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, requests_per_day=5)) as running:
        assert (await ask(running)).status == 200
        assert (await ask(running)).status == 200
        await running.gateway.change(limited(replica, requests_per_day=2))
        assert (await ask(running)).status == 429
        await running.gateway.change(limited(replica))
        assert (await ask(running)).status == 200


def events_of(reply: Response) -> list[Any]:
    lines = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [msgspec.json.decode(line) for line in lines[:-1]]


async def stream(running: Running, **fields: Any) -> Response:
    return await running.post(CHAT, {**ASK, "stream": True, **fields}, AUTH)


class Words:
    """Counts a prompt as the fake replica does, by words, and says how often it was asked."""

    def __init__(self, replica: FakeReplica, tokens: int | None = None) -> None:
        self.replica, self.asked, self.tokens = replica, 0, tokens

    async def count(self, call: Any, pool: Any) -> int | None:
        assert pool.name == "mock"
        self.asked += 1
        if self.tokens is not None:
            return self.tokens
        return sum(len(message["content"].split()) for message in msgspec.json.decode(call.prompt))

    def close(self) -> None:
        pass


async def test_stream_without_a_bound_goes_on_step_by_step() -> None:
    script = Script(tokens=1000)
    async with (
        FakeReplica(script=script) as replica,
        run_gateway(limited(replica, tokens_per_minute=5_000)) as running,
    ):
        reply = await stream(running, stream_options={"include_usage": True})
        events = events_of(reply)
        assert events[-1]["usage"]["completion_tokens"] == 1000
        assert events[-2]["choices"][0]["finish_reason"] != "length"
        assert (await running.logged())["outcome"] == "ok"
        assert held(running) == 0


async def test_stream_ends_at_the_token_where_its_limit_ends() -> None:
    script = Script(tokens=1500, token_gap_s=0.0)
    async with (
        FakeReplica(script=script) as replica,
        run_gateway(limited(replica, tokens_per_minute=1_000)) as running,
    ):
        running.gateway.limiter._prompts = Words(replica, tokens=7)
        reply = await stream(running, stream_options={"include_usage": True})
        *_, last, usage = events_of(reply)
        assert reply.status == 200
        assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
        assert last["lmaas"]["code"] == "rate_limit_exceeded"
        assert "key tight: 1000 tokens a minute" in last["lmaas"]["message"]
        assert last["id"] == events_of(reply)[0]["id"]
        assert usage["usage"] == {"prompt_tokens": 7, "completion_tokens": 993, "total_tokens": 1000}
        text = [
            event
            for event in events_of(reply)
            if event["choices"] and event["choices"][0]["delta"].get("content")
        ]
        assert len(text) == 993
        record = await running.logged()
        assert (record["outcome"], record["code"]) == ("limited", "rate_limit_exceeded")
        await replica.record.until(lambda: replica.running == 0)
        assert replica.calls[0].outcome is not None
        assert (await ask(running, max_tokens=1)).status == 429
        assert running.in_flight == 0


async def test_stream_ends_while_its_client_waits_for_slow_tokens() -> None:
    script = Script(tokens=600, token_gap_s=0.001)
    async with (
        FakeReplica(script=script) as replica,
        run_gateway(limited(replica, tokens_in_flight=300)) as running,
    ):
        running.gateway.limiter._prompts = Words(replica, tokens=50)
        assert (await stream(running)).status == 200
        await replica.record.until(lambda: replica.running == 0)
        assert replica.aborted == 1
        # What it held is free again.
        assert (await ask(running, max_tokens=100)).status == 200


async def test_every_open_choice_of_a_stream_is_finished() -> None:
    async with (
        FakeReplica(script=Script(tokens=400)) as replica,
        run_gateway(limited(replica, tokens_per_minute=700)) as running,
    ):
        running.gateway.limiter._prompts = Words(replica, tokens=3)
        reply = await stream(running, n=2)
        ends = [
            event["choices"][0]["index"]
            for event in events_of(reply)
            if event["choices"] and event["choices"][0]["finish_reason"] == "length"
        ]
        assert sorted(ends) == [0, 1]


async def test_call_whose_bound_does_not_fit_is_counted_and_let_through() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=100)) as running:
        words = running.gateway.limiter._prompts = Words(replica)
        replies = [await ask(running, max_tokens=10) for _ in range(3)]
        assert [reply.status for reply in replies] == [200] * 3
        assert words.asked == 3


async def test_calls_under_way_are_counted_where_their_bounds_take_anothers_place() -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=0.2)) as replica,
        run_gateway(limited(replica, tokens_per_minute=1_500)) as running,
    ):
        words = running.gateway.limiter._prompts = Words(replica)
        replies = await asyncio.gather(*(ask(running, max_tokens=10) for _ in range(20)))
        assert [reply.status for reply in replies] == [200] * 20
        assert 0 < words.asked <= 20


async def test_room_for_the_bound_costs_no_counting() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=50_000)) as running:
        words = running.gateway.limiter._prompts = Words(replica)
        assert (await ask(running, max_tokens=10)).status == 200
        assert words.asked == 0


async def test_used_up_limit_refuses_without_counting() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, tokens_per_minute=100)) as running:
        words = running.gateway.limiter._prompts = Words(replica)
        assert (await ask(running, max_tokens=500)).status == 429
        assert words.asked == 0


async def test_money_is_reserved_by_price_and_settled_to_the_cost() -> None:
    async with FakeReplica() as replica:
        wanted = limited(replica, dollars_per_month="0.01")
        price = PriceSettings.model_validate({"input_per_million": "1", "output_per_million": "2"})
        model = wanted.models[0].model_copy(update={"price": price})
        async with run_gateway(wanted.model_copy(update={"models": (model,)})) as running:
            assert (await ask(running, max_tokens=1_000)).status == 200
            refused = await ask(running, max_tokens=6_000)
            assert refused.status == 429
            assert (refused.error["type"], refused.error["code"]) == ("insufficient_quota",) * 2
            assert "key tight: 0.01 US dollars a month" in refused.error["message"]
            assert refused.headers["x-should-retry"] == "false"
            limiter = running.gateway.limiter
            (rules,) = [rules for rules in limiter._known.values() if rules is not None]
            usage = (await running.logged(1))["prompt_tokens"], (await running.logged(1))["completion_tokens"]
            assert limiter.store.total(rules.counters[0]) == usage[0] * 1_000 + usage[1] * 2_000


async def test_settling_twice_gives_nothing_back_twice() -> None:
    async with FakeReplica() as replica, run_gateway(limited(replica, calls_in_flight=2)) as running:
        limiter = running.gateway.limiter
        exits: Exits = []
        principal = Principal("tight")
        meter = Meter("r", CHAT, time.perf_counter)
        one, two = (
            limiter.open(principal, make_call(), running.pool, meter=meter, exits=exits) for _ in range(2)
        )
        assert one is not None
        assert two is not None
        assert one.try_take()
        assert two.try_take()
        one.settle()
        one.settle()
        assert limiter.store.total(one.rules.counters[0]) == 1
        assert exits == [one.settle, two.settle]


async def test_cached_reply_costs_a_request_and_no_tokens() -> None:
    async with FakeReplica() as replica:
        wanted = limited(replica, requests_per_minute=5, tokens_per_minute=10_000)
        cached = wanted.model_copy(update={"cache": CacheSettings(enabled=True)})
        async with run_gateway(cached) as running:
            fields = {"max_tokens": 5, "temperature": 0, "seed": 1}
            first = await ask(running, **fields)
            hit = await ask(running, **fields)
            again = await ask(running, **fields)
            assert hit.headers["x-lmaas-cache"] == "hit"
            assert hit.headers["x-ratelimit-remaining-requests"] == "3"
            name = "x-ratelimit-remaining-tokens"
            assert hit.headers[name] == again.headers[name]
            assert first.status == 200


class LimiterModel(RuleBasedStateMachine):
    """Calls that are taken, counted, extended and settled in any order hold what they should, no more."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Limiter(
            LimitSettings(step_tokens=7), LocalStore(Table.in_memory(64)), Metrics(), is_shared=False
        )
        self.limiter.follow(
            [
                Limit("key", "k", "tokens", 3000, "day"),
                Limit("key", "k", "tokens_in_flight", 2500),
                Limit("key", "k", "calls_in_flight", 3),
            ]
        )
        self.pool = Pool("mock", "chat", (), 0)
        self.open: list[Reservation] = []
        self.used = 0

    @rule(tokens=st.integers(0, 900), stream=st.booleans())
    def take(self, tokens: int, stream: bool) -> None:
        bound = b'"stream":true' if stream else b'"max_tokens":%d' % tokens
        call = make_call(b'{"model":"mock","messages":[],%b}' % bound)
        meter = Meter("r", CHAT, time.perf_counter)
        reservation = self.limiter.open(Principal("k"), call, self.pool, meter=meter, exits=[])
        assert reservation is not None
        if reservation.try_take():
            self.open.append(reservation)

    @rule(which=st.integers(0, 5), tokens=st.integers(0, 600))
    def count(self, which: int, tokens: int) -> None:
        if self.open:
            reservation = self.open[which % len(self.open)]
            reservation.tighten(min(tokens, reservation.prompt_tokens))

    @rule(which=st.integers(0, 5))
    def extend(self, which: int) -> None:
        if self.open:
            reservation = self.open[which % len(self.open)]
            before = reservation.completion_tokens
            has_more = reservation.extend_now()
            assert reservation.completion_tokens == before + 7 * has_more

    @rule(
        which=st.integers(0, 5),
        part=st.floats(0, 1),
        outcome=st.sampled_from(("ok", "client_gone", "error", "interrupted")),
    )
    def settle(self, which: int, part: float, outcome: Any) -> None:
        if not self.open:
            return
        reservation = self.open.pop(which % len(self.open))
        meter, held_tokens = reservation.meter, reservation.prompt_tokens + reservation.completion_tokens
        meter.outcome, meter.is_sent = outcome, outcome != "error"
        used = 0 if outcome == "error" else held_tokens
        if outcome == "ok":
            used = int(held_tokens * part)
            meter.usage = Usage(used // 2, used - used // 2)
        reservation.settle()
        reservation.settle()
        self.used += used

    @invariant()
    def holds_what_is_open(self) -> None:
        tokens = sum(one.prompt_tokens + one.completion_tokens for one in self.open)
        assert self.limiter.reserved_tokens == tokens
        rules = self.limiter._known.get(("k", "", "mock"))
        if rules is not None:
            day, in_flight, calls = rules.counters
            total = self.limiter.store.total
            assert total(calls) == len(self.open) <= 3
            assert total(in_flight) == tokens <= 2500
            assert total(day) == self.used + tokens <= 3000
            assert self.limiter.loose <= set(self.open)


LimiterModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLimiterModel = LimiterModel.TestCase
