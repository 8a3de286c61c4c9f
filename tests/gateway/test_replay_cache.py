"""The response cache and single flight over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, Running, run_gateway, settings_for, settings_of
from support.stub import Response, raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lmaas_gateway.settings import Settings

EMBEDDINGS = "/v1/embeddings"
GREEDY: dict[str, Any] = {**ASK, "temperature": 0}
GREEDY_STREAM: dict[str, Any] = {**STREAM, "temperature": 0.0}
EMBED: dict[str, Any] = {"model": "mock", "input": ["one", "two"]}
NEVER = Script(headers_delay_s=60)
ALICE, BOB = "a" * 24, "b" * 24


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica() as replica:
        yield replica


@pytest.fixture
async def running(replica: FakeReplica) -> AsyncIterator[Running]:
    async with run_gateway(settings_for(replica, cache={"enabled": True})) as running:
        yield running


def source_of(reply: Response) -> str | None:
    return reply.headers.get("x-lmaas-cache")


def standing_in(broken: FakeReplica, replica: FakeReplica) -> Settings:
    """A model that fails, and another one that answers in its place; the first one's replies are cached."""
    mock = {"fallbacks": ["other"], "cache": True}
    return settings_of({"mock": [broken], "other": [replica]}, mock=mock)


async def metric(running: Running, name: str) -> float:
    text = (await running.get("/metrics")).body.decode()
    rows = [line for line in text.splitlines() if line.startswith(name)]
    return sum(float(row.split()[-1]) for row in rows)


async def both(replica: FakeReplica, ask: dict[str, Any], *headers: str, path: str = CHAT) -> list[Response]:
    """Make one call twice through a gateway that caches."""
    async with run_gateway(settings_for(replica, cache={"enabled": True})) as running:
        return [await running.post(path, ask, *headers) for _ in range(2)]


class TestHits:
    @pytest.mark.parametrize(
        "ask", [GREEDY, GREEDY_STREAM, {**GREEDY, "n": 2}, {**GREEDY, "temperature": -0.0}]
    )
    async def test_equal_call_gets_the_same_bytes(self, replica: FakeReplica, ask: dict[str, Any]) -> None:
        first, again = await both(replica, ask)
        assert (source_of(first), source_of(again)) == ("miss", "hit")
        assert again.body == first.body
        assert int(again.headers["age"]) < 60
        assert again.headers["content-type"] == first.headers["content-type"]
        assert replica.requests == 1

    @pytest.mark.parametrize(
        ("kind", "path", "ask"),
        [
            ("embedding", EMBEDDINGS, EMBED),
            ("rerank", "/v1/rerank", {"model": "mock", "query": "q", "documents": ["a", "b"]}),
            ("rerank", "/v1/score", {"model": "mock", "text_1": "a", "text_2": "b"}),
            ("classify", "/v1/classify", {"model": "mock", "input": "a"}),
            ("chat", "/v1/tokenize", {"model": "mock", "prompt": "a b"}),
            ("chat", "/v1/completions", {"model": "mock", "prompt": "a b", "temperature": 0}),
        ],
    )
    async def test_routes_that_compute(self, kind: Any, path: str, ask: dict[str, Any]) -> None:
        async with FakeReplica(FakeModel(kind=kind)) as replica:
            settings = settings_for(replica, kind=kind, cache={"enabled": True})
            async with run_gateway(settings) as running:
                replies = [await running.post(path, ask) for _ in range(2)]
            assert [reply.status for reply in replies] == [200, 200]
            assert [source_of(reply) for reply in replies] == ["miss", "hit"]
            assert replica.requests == 1

    async def test_hit_is_flagged_and_counts_its_tokens_as_saved(self, running: Running) -> None:
        usage = (await running.post(CHAT, GREEDY)).json["usage"]
        again = await running.post(CHAT, GREEDY)
        assert again.json["usage"] == usage
        await running.logged(2)
        assert [line["cache"] for line in running.log] == ["miss", "hit"]
        assert running.log[1]["prompt_tokens"] == running.log[1]["completion_tokens"] == 0
        assert await metric(running, "lmaas_completion_tokens_total") == usage["completion_tokens"]
        assert await metric(running, "lmaas_response_cache_saved_tokens_total") == usage["total_tokens"]
        assert await metric(running, 'lmaas_response_cache_hits_total{how="hit"') == 1
        assert await metric(running, "lmaas_response_cache_misses_total") == 1

    async def test_tokens_of_a_stream_whose_usage_was_hidden_are_counted_too(self, running: Running) -> None:
        for _ in range(2):
            await running.post(CHAT, GREEDY_STREAM)
        assert await metric(running, "lmaas_response_cache_saved_tokens_total") > 0

    async def test_hit_answers_while_no_replica_does(self, replica: FakeReplica, running: Running) -> None:
        await running.post(CHAT, GREEDY)
        await replica.stop()
        assert (await running.post(CHAT, GREEDY)).status == 200

    async def test_hit_is_kept_under_an_idempotency_key_too(
        self, replica: FakeReplica, running: Running
    ) -> None:
        await running.post(CHAT, GREEDY)
        hit = await running.post(CHAT, GREEDY, "idempotency-key: k")
        replayed = await running.post(CHAT, GREEDY, "idempotency-key: k")
        assert source_of(hit) == "hit"
        assert replayed.headers["idempotent-replayed"] == "true"
        assert replica.requests == 1

    async def test_one_call_fills_both_stores(self, replica: FakeReplica, running: Running) -> None:
        await running.post(CHAT, GREEDY, "idempotency-key: k")
        assert (await running.post(CHAT, GREEDY, "idempotency-key: k")).headers[
            "idempotent-replayed"
        ] == "true"
        assert source_of(await running.post(CHAT, GREEDY)) == "hit"
        assert replica.requests == 1


class TestMisses:
    @pytest.mark.parametrize(
        "ask",
        [
            ASK,
            {**ASK, "temperature": None},
            {**ASK, "temperature": 0.01},
            {**ASK, "temperature": 1},
        ],
    )
    async def test_what_is_drawn_is_never_kept(self, replica: FakeReplica, ask: dict[str, Any]) -> None:
        assert [source_of(reply) for reply in await both(replica, ask)] == [None, None]
        assert replica.requests == 2

    @pytest.mark.parametrize("temperature", ["0", False, [], {"a": 0}])
    async def test_temperature_of_a_wrong_type_is_not_zero(
        self, replica: FakeReplica, temperature: object
    ) -> None:
        """Whatever becomes of such a call."""
        replies = await both(replica, {**ASK, "temperature": temperature})
        assert [source_of(reply) for reply in replies] == [None, None]

    @pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
    async def test_routes_with_state_or_versions_are_never_kept(
        self, replica: FakeReplica, path: str
    ) -> None:
        ask = {**GREEDY, "input": "one", "max_tokens": 5}
        assert [source_of(reply) for reply in await both(replica, ask, path=path)] == [None, None]

    async def test_principal_never_gets_what_another_one_asked_for(self, replica: FakeReplica) -> None:
        keys = [{"name": "alice", "key": ALICE}, {"name": "bob", "key": BOB}]
        async with run_gateway(settings_for(replica, keys=keys, cache={"enabled": True})) as running:
            seen = [
                source_of(await running.post(CHAT, GREEDY, f"authorization: Bearer {key}"))
                for key in (ALICE, BOB, ALICE, BOB)
            ]
        assert seen == ["miss", "miss", "hit", "hit"]
        assert replica.requests == 2

    async def test_idempotency_key_of_another_principal_is_another_key(self, replica: FakeReplica) -> None:
        keys = [{"name": "alice", "key": ALICE}, {"name": "bob", "key": BOB}]
        async with run_gateway(settings_for(replica, keys=keys)) as running:
            for key in (ALICE, BOB):
                reply = await running.post(CHAT, ASK, f"authorization: Bearer {key}", "idempotency-key: k")
                assert "idempotent-replayed" not in reply.headers
        assert replica.requests == 2

    async def test_principals_do_not_wait_for_each_other(self, replica: FakeReplica) -> None:
        replica.script = Script(headers_delay_s=0.1)
        keys = [{"name": "alice", "key": ALICE}, {"name": "bob", "key": BOB}]
        async with run_gateway(settings_for(replica, keys=keys, cache={"enabled": True})) as running:
            replies = await asyncio.gather(
                *(running.post(CHAT, GREEDY, f"authorization: Bearer {key}") for key in (ALICE, BOB))
            )
        assert [source_of(reply) for reply in replies] == ["miss", "miss"]

    async def test_stream_with_and_without_usage_are_two(
        self, replica: FakeReplica, running: Running
    ) -> None:
        """The gateway asks for usage in both, so the bodies that the replica sees may be equal."""
        without = b'{"model":"mock","messages":[{"role":"user","content":"a"}],"stream":true,"temperature":0}'
        await running.post(CHAT, without)
        wanted = replica.calls[0].request.body
        reply = await running.post(CHAT, wanted)
        assert replica.calls[1].request.body == wanted
        assert source_of(reply) == "miss"
        assert b'"usage":{' in reply.body

    async def test_another_body_is_another_call(self, running: Running) -> None:
        await running.post(CHAT, GREEDY)
        assert source_of(await running.post(CHAT, {**GREEDY, "seed": 1})) == "miss"

    async def test_no_store_neither_reads_nor_writes(self, running: Running) -> None:
        for _ in range(2):
            assert source_of(await running.post(CHAT, GREEDY, "cache-control: private, No-Store")) is None
        assert source_of(await running.post(CHAT, GREEDY)) == "miss"
        assert source_of(await running.post(CHAT, GREEDY, "cache-control: no-store")) is None

    @pytest.mark.parametrize("directive", ["no-cache", "max-age=0"])
    async def test_no_cache_makes_a_fresh_reply_and_keeps_it(
        self, replica: FakeReplica, running: Running, directive: str
    ) -> None:
        replica.scripts.extend([Script(text="old"), Script(text="new")])
        await running.post(CHAT, GREEDY)
        fresh = await running.post(CHAT, GREEDY, f"cache-control: {directive}")
        assert source_of(fresh) == "miss"
        hit = await running.post(CHAT, GREEDY)
        assert (source_of(hit), hit.body) == ("hit", fresh.body)
        assert b"new" in hit.body

    @pytest.mark.parametrize("status", [400, 500, 503])
    async def test_error_is_never_kept(self, replica: FakeReplica, running: Running, status: int) -> None:
        replica.scripts.append(Script(status=status))
        assert (await running.post(CHAT, GREEDY)).status >= 400
        again = await running.post(CHAT, GREEDY)
        assert (again.status, source_of(again)) == (200, "miss")

    async def test_broken_stream_is_never_kept(self, replica: FakeReplica, running: Running) -> None:
        replica.scripts.append(
            Script(tokens=5, fault=Fault.RESET, fault_at=Point.AFTER_EVENTS, fault_events=2)
        )
        assert b"stream_interrupted" in (await running.post(CHAT, GREEDY_STREAM)).body
        again = await running.post(CHAT, GREEDY_STREAM)
        assert source_of(again) == "miss"
        assert again.body.endswith(b"[DONE]\n\n")

    async def test_expired_reply_is_made_anew(self, replica: FakeReplica) -> None:
        async with run_gateway(settings_for(replica, cache={"enabled": True, "ttl_s": 0.05})) as running:
            await running.post(CHAT, GREEDY)
            await asyncio.sleep(0.06)
            assert source_of(await running.post(CHAT, GREEDY)) == "miss"

    async def test_nothing_is_kept_unless_the_operator_says_so(self, replica: FakeReplica) -> None:
        async with run_gateway(settings_for(replica)) as running:
            for _ in range(2):
                assert source_of(await running.post(CHAT, GREEDY)) is None
        assert replica.requests == 2

    async def test_model_may_be_left_out_or_be_the_only_one(self, replica: FakeReplica) -> None:
        for is_enabled in (True, False):
            settings = settings_for(replica, cache={"enabled": is_enabled})
            model = settings.models[0].model_copy(update={"cache": not is_enabled})
            async with run_gateway(settings.model_copy(update={"models": (model,)})) as running:
                await running.post(CHAT, GREEDY)
                expected = None if is_enabled else "hit"
                assert source_of(await running.post(CHAT, GREEDY)) == expected

    async def test_engine_that_serves_under_another_name_gets_no_old_replies(self, running: Running) -> None:
        await running.post(CHAT, GREEDY)
        running.pool.replicas[0].served_model_name = "other"
        assert source_of(await running.post(CHAT, GREEDY)) == "miss"


class TestSingleFlight:
    async def test_thousand_equal_calls_are_one_for_the_replica(self) -> None:
        async with FakeReplica(FakeModel(kind="embedding")) as replica:
            replica.script = Script(headers_delay_s=0.5)
            settings = settings_for(replica, kind="embedding", cache={"enabled": True})
            async with run_gateway(settings) as running:
                replies = await asyncio.gather(*(running.post(EMBEDDINGS, EMBED) for _ in range(1000)))
                assert await metric(running, 'lmaas_response_cache_hits_total{how="coalesced"') > 0
            assert replica.requests == 1
        assert {reply.status for reply in replies} == {200}
        assert len({reply.body for reply in replies}) == 1
        assert sum(source_of(reply) == "miss" for reply in replies) == 1

    async def test_followers_of_a_stream_get_the_whole_of_it_when_it_is_done(
        self, replica: FakeReplica, running: Running
    ) -> None:
        replica.script = Script(tokens=10, token_gap_s=0.1)
        replies = await asyncio.gather(*(running.post(CHAT, GREEDY_STREAM) for _ in range(5)))
        assert replica.requests == 1
        assert len({reply.body for reply in replies}) == 1
        assert sorted(source_of(reply) or "" for reply in replies) == ["coalesced"] * 4 + ["miss"]

    @pytest.mark.parametrize(
        "script",
        [
            Script(headers_delay_s=0.1, status=500),
            Script(headers_delay_s=0.1, fault=Fault.RESET, fault_at=Point.AFTER_HEADERS),
            Script(first_token_delay_s=0.1, fault=Fault.RESET, fault_at=Point.AFTER_EVENTS, fault_events=1),
        ],
    )
    async def test_another_one_takes_over_from_a_leader_that_failed(
        self, replica: FakeReplica, running: Running, script: Script
    ) -> None:
        replica.scripts.append(script)
        replies = await asyncio.gather(*(running.post(CHAT, GREEDY_STREAM) for _ in range(5)))
        whole = [reply for reply in replies if reply.body.endswith(b"[DONE]\n\n")]
        assert len(whole) == 4
        assert replica.requests == 2

    async def test_another_one_takes_over_from_a_leader_whose_client_left(
        self, replica: FakeReplica, running: Running
    ) -> None:
        replica.scripts.append(NEVER)
        async with raw_client(running.port) as leader:
            leader.send(request_bytes(CHAT, GREEDY))
            await replica.record.until(lambda: replica.requests == 1)
            followers = [asyncio.create_task(running.post(CHAT, GREEDY)) for _ in range(3)]
            await asyncio.sleep(0.05)
        replies = await asyncio.gather(*followers)
        assert [reply.status for reply in replies] == [200] * 3
        assert (replica.requests, replica.aborted) == (2, 1)

    async def test_follower_whose_client_leaves_is_let_go_at_once(
        self, replica: FakeReplica, running: Running
    ) -> None:
        replica.scripts.append(NEVER)
        async with raw_client(running.port) as leader:
            leader.send(request_bytes(CHAT, GREEDY))
            await replica.record.until(lambda: replica.requests == 1)
            async with raw_client(running.port) as follower:
                follower.send(request_bytes(CHAT, GREEDY))
                await asyncio.sleep(0.05)
            record = await running.logged()
            assert (record["status"], record["outcome"]) == (499, "client_gone")
            assert (replica.requests, replica.running) == (1, 1)

    async def test_follower_that_has_waited_long_enough_makes_the_call_itself(
        self, replica: FakeReplica
    ) -> None:
        replica.scripts.append(NEVER)
        cache = {"enabled": True, "max_wait_s": 0.1}
        async with (
            run_gateway(settings_for(replica, cache=cache)) as running,
            raw_client(running.port) as leader,
        ):
            leader.send(request_bytes(CHAT, GREEDY))
            await replica.record.until(lambda: replica.requests == 1)
            assert source_of(await running.post(CHAT, GREEDY)) == "miss"
            # What it got is kept meanwhile.
            assert source_of(await running.post(CHAT, GREEDY)) == "hit"
            assert replica.running == 1

    async def test_reply_too_long_to_be_shared_lets_all_make_their_own(self, replica: FakeReplica) -> None:
        replica.script = Script(headers_delay_s=0.2, text="word " * 1000, tokens=1000)
        cache = {"enabled": True, "max_entry_bytes": 1024}
        async with run_gateway(settings_for(replica, cache=cache)) as running:
            async with asyncio.timeout(30):
                replies = await asyncio.gather(*(running.post(CHAT, GREEDY) for _ in range(8)))
            assert [source_of(reply) for reply in replies] == ["miss"] * 8
            assert {len(reply.body) > 1024 for reply in replies} == {True}
        assert replica.requests == 8

    async def test_follower_whose_own_deadline_passes_is_told_so(
        self, replica: FakeReplica, running: Running
    ) -> None:
        replica.scripts.append(NEVER)
        async with raw_client(running.port) as leader:
            leader.send(request_bytes(CHAT, GREEDY))
            await replica.record.until(lambda: replica.requests == 1)
            follower = await running.post(CHAT, GREEDY, "x-request-deadline-ms: 100")
            assert (follower.status, follower.error["code"]) == (504, "deadline_exceeded")
            assert replica.requests == 1


class TestOtherModels:
    async def test_reply_of_a_model_that_stood_in_is_shared_but_not_kept(self, replica: FakeReplica) -> None:
        replica.script = Script(headers_delay_s=0.5)
        async with (
            FakeReplica(script=Script(headers_delay_s=0.5, status=500)) as broken,
            run_gateway(standing_in(broken, replica)) as running,
        ):
            replies = await asyncio.gather(*(running.post(CHAT, GREEDY) for _ in range(3)))
            assert sorted(source_of(reply) or "" for reply in replies) == ["coalesced"] * 2 + ["miss"]
            assert [reply.headers["x-lmaas-model"] for reply in replies] == ["other"] * 3
            assert source_of(await running.post(CHAT, GREEDY)) == "miss"

    async def test_replay_tells_which_model_had_answered(self, replica: FakeReplica) -> None:
        async with (
            FakeReplica(script=Script(status=500)) as broken,
            run_gateway(standing_in(broken, replica)) as running,
        ):
            replies = [await running.post(CHAT, ASK, "idempotency-key: k") for _ in range(2)]
        assert [reply.headers["x-lmaas-model"] for reply in replies] == ["other"] * 2
        assert replies[1].headers["idempotent-replayed"] == "true"
        assert replica.requests == 1


class TestSweeps:
    async def test_expired_replies_do_not_lie_about_until_they_are_asked_for(
        self, replica: FakeReplica
    ) -> None:
        settings = settings_for(replica, cache={"enabled": True, "ttl_s": 0.05}, idempotency={"ttl_s": 0.05})
        async with run_gateway(settings) as running:
            await running.post(CHAT, GREEDY, "idempotency-key: k")
            replays = running.gateway._current.snapshot.replays
            assert await metric(running, "lmaas_stored_reply_bytes") > 2048
            await asyncio.sleep(0.06)
            await replays.sweep()
            assert await metric(running, "lmaas_stored_reply_bytes") == 0


class TestReloads:
    async def test_reload_empties_the_cache_and_keeps_the_keys(self, replica: FakeReplica) -> None:
        settings = settings_for(replica, cache={"enabled": True})
        async with run_gateway(settings) as running:
            await running.post(CHAT, GREEDY, "idempotency-key: k")
            running.gateway.adopt(await running.gateway.prepare(settings))
            assert source_of(await running.post(CHAT, GREEDY)) == "miss"
            again = await running.post(CHAT, GREEDY, "idempotency-key: k")
            assert again.headers["idempotent-replayed"] == "true"

    async def test_cache_can_be_turned_off_while_calls_wait_for_each_other(
        self, replica: FakeReplica
    ) -> None:
        replica.script = Script(headers_delay_s=1)
        async with run_gateway(settings_for(replica, cache={"enabled": True})) as running:
            calls = [asyncio.create_task(running.post(CHAT, GREEDY)) for _ in range(3)]
            await replica.record.until(lambda: replica.requests == 1)
            running.gateway.adopt(await running.gateway.prepare(settings_for(replica)))
            replies = await asyncio.gather(*calls)
            assert sorted(source_of(reply) or "" for reply in replies) == ["coalesced"] * 2 + ["miss"]
            assert source_of(await running.post(CHAT, GREEDY)) is None
