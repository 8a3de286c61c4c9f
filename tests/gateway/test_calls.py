"""Calls over sockets, and what the admin API tells of them afterwards."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from lmaas_gateway import notes
from lmaas_gateway.administration.explanation import explain
from lmaas_gateway.records.record import CallRecord
from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica, Script
from security.worlds import OPERATOR_KEY, World, bearer, world_at
from support.serving import ASK, CHAT, STREAM, run_gateway

if TYPE_CHECKING:
    from pathlib import Path

NOTHING_KEPT = "Neither prompt nor reply was kept: log, records, ledger and traces hold names and numbers."
OPEN: dict[str, Any] = {"probe_interval_s": 0.05, "open": True, "admin_key": OPERATOR_KEY}


def open_settings(*replicas: FakeReplica, **fields: Any) -> Settings:
    """Settings of one model without tenants; what a model may have is the model's."""
    model = {"name": "mock", "kind": "chat", "replicas": [{"url": replica.url} for replica in replicas]}
    for name in ("routing", "max_in_flight"):
        if name in fields:
            model[name] = fields.pop(name)
    return Settings.model_validate({**OPEN, "models": [model], **fields})


async def explained(world: World, request_id: str, query: str = "") -> dict[str, Any]:
    reply = await world.ask("GET", f"/calls/{request_id}{query}")
    assert reply.status == 200, reply.body
    explanation: dict[str, Any] = reply.json
    return explanation


def steps(explanation: dict[str, Any]) -> list[str]:
    return [step["name"] for step in explanation["steps"]]


def masked(explanation: dict[str, Any]) -> list[str]:
    return [step["text"] for step in explanation["steps"] if step["name"] == "masking"]


async def test_stream_is_explained_step_by_step(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("acme")
        reply = await world.running.post(CHAT, STREAM, bearer(tenant.plain))
        request_id = reply.headers["x-request-id"]
        found = await explained(world, request_id)
    assert (found["id"], found["outcome"], found["status"]) == (request_id, "ok", 200)
    assert (found["project"], found["key"]) == (tenant.ids["projects"], tenant.ids["keys"])
    assert (found["model"], found["replica"], found["attempts"]) == ("mock", "mock-0", 1)
    assert steps(found) == [
        "received",
        "policy",
        "policy",
        "limits",
        "route",
        "masking",
        "prefill",
        "decode",
        "masking",
        "end",
        "bill",
    ]
    assert [step["source"] for step in found["steps"] if step["name"] in {"prefill", "decode"}] == [
        "derived"
    ] * 2
    assert found["limits"][0]["remaining"] < found["limits"][0]["limit"] == 10**9
    assert found["completion_tokens"] == 3
    assert 0 < found["first_byte_s"] <= found["duration_s"]


async def test_retries_are_told_in_the_head_and_with_their_reasons() -> None:
    async with FakeReplica() as bad, FakeReplica() as good:
        bad.script = Script(status=503)
        settings = open_settings(bad, good, routing="least_tokens")
        async with run_gateway(settings) as running:
            reply = await running.post(CHAT, ASK, "x-request-id: mine.1")
            assert re.fullmatch(
                r"route;dur=[\d.]+, upstream;dur=[\d.]+, retries;desc=1", reply.headers["server-timing"]
            )
            found = (await running.get("/admin/v1/calls/mine.1", bearer(OPERATOR_KEY))).json
            (listed,) = (await running.get("/admin/v1/calls?failed=false", bearer(OPERATOR_KEY))).json["data"]
    assert (found["attempts"], found["replica"], found["outcome"]) == (2, "mock-1", "ok")
    (failure,) = found["failures"]
    assert (failure["replica"], failure["reason"], failure["status"]) == ("mock-0", "status", 503)
    texts = [step["text"] for step in found["steps"] if step["name"] == "failure"]
    assert texts == ["The replica mock-0 of mock failed: it answered 503."]
    assert found["organization"] is found["project"] is None
    assert {name: found[name] for name in listed} == listed


async def test_choice_is_told_with_what_each_replica_weighed() -> None:
    async with FakeReplica() as first, FakeReplica() as second:
        settings = open_settings(first, second, routing="prefix_aware")
        long = {**ASK, "messages": [{"role": "user", "content": "word " * 800}]}
        async with run_gateway(settings) as running:
            for number in range(2):
                await running.post(CHAT, long, f"x-request-id: r{number}")
            found = (await running.get("/admin/v1/calls/r1", bearer(OPERATOR_KEY))).json
    assert found["routing"] == "prefix_aware"
    chosen, other = found["candidates"]
    assert (chosen["replica"], chosen["is_chosen"], other["is_chosen"]) == ("mock-0", True, False)
    assert chosen["prefix_worth"] > other["prefix_worth"] == 0
    (route,) = (step["text"] for step in found["steps"] if step["name"] == "route")
    assert re.search(r"prefix_aware chose it.*mock-0 load 0, worth \d+, mock-1 load 0, worth 0", route)


async def test_wait_for_a_turn_is_told_with_what_stood_before_it() -> None:
    async with FakeReplica() as replica:
        replica.script = Script(headers_delay_s=0.2)
        settings = open_settings(replica, max_in_flight=1)
        async with run_gateway(settings) as running:
            calls = [running.post(CHAT, ASK, f"x-request-id: r{number}") for number in range(2)]
            replies = await asyncio.gather(*calls)
            waited = next(reply for reply in replies if "queue;dur" in reply.headers["server-timing"])
            path = f"/admin/v1/calls/{waited.headers['x-request-id']}"
            found = (await running.get(path, bearer(OPERATOR_KEY))).json
    (queue,) = (step for step in found["steps"] if step["name"] == "queue")
    assert queue["duration_s"] == found["queued_s"] > 0
    assert "as number 1 of the queue of mock: 1 sequences were in flight, of 1" in queue["text"]


async def test_fallbacks_refusals_and_bounds_are_told() -> None:
    async with FakeReplica() as broken, FakeReplica() as spare:
        broken.script = Script(status=500)
        urls = {"first": broken.url, "spare": spare.url}
        models = [{"name": name, "kind": "chat", "replicas": [{"url": url}]} for name, url in urls.items()]
        models[0]["fallbacks"] = ["spare"]
        secret = "the-key-of-ada-is-long"
        key = {"name": "ada", "key": secret, "limits": {"tokens_per_minute": 10_000}}
        settings = Settings.model_validate({**OPEN, "models": models, "keys": [key]})
        async with run_gateway(settings) as running:
            told = bearer(secret)
            await running.post(CHAT, {**ASK, "model": "first"}, told, "x-request-id: fell")
            await running.post(CHAT, {**ASK, "model": "first", "n": 1000}, told, "x-request-id: refused")
            fell, refused = [
                (await running.get(f"/admin/v1/calls/{id_}", bearer(OPERATOR_KEY))).json
                for id_ in ("fell", "refused")
            ]
    assert masked(refused) == [NOTHING_KEPT]
    assert fell["fallbacks"] == [{"model": "first", "code": "replica_error"}]
    assert (fell["model"], fell["key"]) == ("spare", "ada")
    assert fell["policies"] == ["max_tokens: it named no bound of its reply, so its limits set one."]
    (left,) = fell["limits"]
    assert (left["metric"], left["limit"], left["reset"]) == ("tokens", 10_000, "1m0s")
    assert (refused["outcome"], refused["code"], refused["param"]) == ("error", "invalid_body", "n")
    (end,) = (step["text"] for step in refused["steps"] if step["name"] == "end")
    assert end == (
        "It ended error with status 400 and invalid_body (`n`): "
        "The body is not the JSON object that the route takes."
    )


async def test_what_was_hidden_from_engines_and_what_engines_said_is_told() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    secret = {"role": "user", "content": [picture]}
    async with FakeReplica() as replica, run_gateway(open_settings(replica)) as running:
        await running.post(CHAT, {**ASK, "chat_template": "{{ x }}"}, "x-request-id: refused")
        await running.post(CHAT, {**ASK, "messages": [secret]}, "x-request-id: data")
        await running.post(CHAT, {**ASK, "fake": {"status": 400}}, "x-request-id: of-engine")
        refused, data, of_engine = [
            (await running.get(f"/admin/v1/calls/{id_}", bearer(OPERATOR_KEY))).json
            for id_ in ("refused", "data", "of-engine")
        ]
    assert masked(refused) == [
        "`chat_template` was refused; what it held reached no replica, and is kept nowhere.",
        NOTHING_KEPT,
    ]
    head = "Of the request's head the replica was sent no key, cookie or address"
    assert [text.startswith(head) for text in masked(data)] == [True, False]
    assert "What the engine said of it was told to the client alone" in masked(of_engine)[1]


def test_media_that_was_fetched_is_both_a_change_and_something_that_no_engine_saw() -> None:
    record = a_record(applied=notes.MEDIA | notes.TRACED)
    found = explain(record, "record")
    assert found.policies == [
        "media: what its URLs name was fetched here and put into the body as data: the engine saw no URL."
    ]
    texts = [step.text for step in found.steps if step.name == "masking"]
    assert texts == [
        *found.policies,
        "What was asked went into its trace, 64 KiB of it at most: `tracing.record_content` is on.",
    ]


def a_record(**fields: Any) -> CallRecord:
    """A record of a call that went well."""
    given: dict[str, Any] = {
        "at_us": 0,
        "request_id": "r",
        "organization": "",
        "project": "",
        "key": "k",
        "member": "",
        "model": "mock",
        "replica": "",
        "route": CHAT,
        "is_stream": False,
        "outcome": "ok",
        "status": 200,
    }
    return CallRecord(**given | fields)


def test_explanation_is_chinese_where_that_is_asked_for() -> None:
    record = a_record(
        replica="mock-1",
        policy="prefix_aware",
        candidates=("mock-0", "mock-1"),
        loads=(3.0, 4.0),
        worth=(1.0, 2.0),
        outcome="error",
        status=504,
        code="replica_timeout",
        wait=notes.Wait(2, 3, 4),
        queued_us=2e6,
        failures=[notes.Failure("mock", "mock-0", "deadline", 0, 5)],
        engine_us=(1, 2, 3),
        applied=(1 << 9) - 1,
        price="{}",
    )
    found = explain(record, "record", "zh")
    texts = [found.summary, *(step.text for step in found.steps), *found.policies]
    assert not [text for text in texts if not re.search("[\u4e00-\u9fff]", text)]
    assert "mock-0 负载 3、价值 1" in next(step.text for step in found.steps if step.name == "route")
    assert "副本没有在期限内回答" in next(step.text for step in found.steps if step.name == "end")


async def test_times_of_the_engine_are_taken_where_it_tells_them() -> None:
    metrics = {"time_to_first_token_ms": 12.5, "generation_time_ms": 40.0, "queue_time_ms": 0.5}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}}
    plain = json.dumps({"choices": [], "usage": usage, "metrics": metrics}, separators=(",", ":"))
    event = json.dumps({"id": "x", "choices": [], "usage": usage, "metrics": metrics}, separators=(",", ":"))
    finish = '{"id":"x","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}'
    events = [f"data: {text}\n\n" for text in (finish, event, "[DONE]")]
    async with FakeReplica() as replica, run_gateway(open_settings(replica)) as running:
        await running.post(CHAT, {**ASK, "fake": {"body": plain}}, "x-request-id: plain")
        await running.post(CHAT, {**STREAM, "fake": {"events": events}}, "x-request-id: stream")
        for id_ in ("plain", "stream"):
            found = (await running.get(f"/admin/v1/calls/{id_}", bearer(OPERATOR_KEY))).json
            assert found["engine"] == {
                "source": "engine",
                "queue_s": 0.0005,
                "prefill_s": 0.0125,
                "decode_s": 0.04,
            }
            by_engine = [step["name"] for step in found["steps"] if step["source"] == "engine"]
            assert by_engine == ["engine_queue", "prefill", "decode"]
            (prefill,) = (step["text"] for step in found["steps"] if step["name"] == "prefill")
            assert prefill == "2 of 10 prompt tokens were read; 8 were in its prefix cache."


async def test_stored_reply_is_told_to_be_one() -> None:
    async with FakeReplica() as replica, run_gateway(open_settings(replica)) as running:
        for number in range(2):
            reply = await running.post(CHAT, ASK, "idempotency-key: once", f"x-request-id: r{number}")
        assert reply.headers["server-timing"].startswith("cache;desc=replayed, total;dur=")
        found = (await running.get("/admin/v1/calls/r1", bearer(OPERATOR_KEY))).json
    assert (found["source"], found["attempts"], found["replica"]) == ("replayed", 0, None)
    assert steps(found) == ["received", "store", "masking", "end", "bill"]
    assert masked(found) == [
        "Its reply, once whole, was stored to be given again: to an equal call, or for its Idempotency-Key."
    ]


async def test_what_left_the_ring_is_told_from_the_ledger_and_only_to_its_own(tmp_path: Path) -> None:
    records = {"calls": 1, "notable_calls": 1}
    async with world_at(tmp_path, records=records, books={"ship_interval_s": 0.05}) as world:
        tenant = await world.tenant("acme", has_called=True)
        other = await world.tenant("other", has_called=True)
        query = f"?organization={tenant.organization}"
        name = tenant.ids["calls"]
        async with asyncio.timeout(30):
            while (await world.ask("GET", f"/calls/{name}")).status == 404:
                await asyncio.sleep(0.02)
        for found in (await explained(world, name, query), await explained(world, name)):
            assert (found["known_from"], found["id"]) == ("ledger", name)
            assert (found["attempts"], found["replica"], found["outcome"]) == (None, "mock-0", "ok")
            assert steps(found) == ["received", "route", "end", "bill"]
        mine = await world.ask("GET", f"/calls/{name}", b"", tenant.keys["viewer"])
        assert mine.json["id"] == name
        assert (await world.ask("GET", f"/calls/{name}", b"", other.keys["owner"])).status == 404


async def test_each_lists_its_own_and_the_operator_all_part_by_part(tmp_path: Path) -> None:
    async with world_at(tmp_path, api_key="a-key-of-the-configuration") as world:
        tenant = await world.tenant("acme", has_called=True)
        other = await world.tenant("other", has_called=True)
        await world.running.post(CHAT, ASK, bearer("a-key-of-the-configuration"), "x-request-id: configured")
        own = (await world.ask("GET", "/calls", b"", tenant.keys["viewer"])).json["data"]
        assert [call["id"] for call in own] == [tenant.ids["calls"]]
        seen, after = [], ""
        while True:
            page = (await world.ask("GET", f"/calls?limit=1{after}")).json
            seen += [call["id"] for call in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert seen == ["configured", other.ids["calls"], tenant.ids["calls"]]
        for query in ("after=nonsense", "slow_over_s=-1", "limit=0", "prompt=x"):
            assert (await world.ask("GET", f"/calls?{query}")).status == 400
        assert (await world.ask("GET", "/calls?project=proj_x")).json["data"] == []


async def test_neither_records_nor_explanations_hold_what_was_asked_or_answered() -> None:
    word = "canary-4f1d9c0b7a2e"
    message = [{"role": "user", "content": f"say {word}", "name": word}]
    tool = {"type": "function", "function": {"name": word, "parameters": {"metrics": {word: {}}}}}
    refusal = {"error": {"message": word, "param": f"body.{word}", "code": 400}}
    bodies: list[Any] = [
        {"model": "mock", "messages": message, "user": word, "metadata": {word: word}, "tools": [tool]},
        {"model": "mock", "messages": message, "stream": True},
        {"model": "mock", "messages": message, "fake": {"status": 400, "body": json.dumps(refusal)}},
        {"model": "mock", "messages": message, "fake": {"status": 500, "body": word}},
        {"model": "mock", "messages": message, "fake": {"body": json.dumps({"metrics": {word: word}})}},
        {"model": "mock", "messages": message, word: word, "n": 1000},
        {"model": "mock", "messages": message, "stream": word},
        {"model": word, "messages": message},
    ]
    async with FakeReplica() as replica, run_gateway(open_settings(replica)) as running:
        for number, body in enumerate(bodies):
            await running.post(CHAT, body, f"x-request-id: r{number}", f"x-session-id: {word}")
        records = running.gateway.records
        assert records is not None
        kept = b"".join(bytes(ring._memory[:]) for _, ring in records._rings.all())
        listed = (await running.get("/admin/v1/calls", bearer(OPERATOR_KEY))).body
        told = [
            (await running.get(f"/admin/v1/calls/r{number}", bearer(OPERATOR_KEY))).body
            for number in range(len(bodies))
        ]
    assert kept.count(b"/v1/chat/completions") >= len(bodies)
    assert word.encode() not in kept + listed + b"".join(told)


async def test_records_and_header_can_be_switched_off() -> None:
    async with FakeReplica() as replica:
        settings = open_settings(replica, records={"calls": 0, "server_timing": False})
        async with run_gateway(settings) as running:
            reply = await running.post(CHAT, ASK, "x-request-id: mine")
            assert (reply.status, "server-timing" in reply.headers) == (200, False)
            assert (await running.get("/admin/v1/calls", bearer(OPERATOR_KEY))).json["data"] == []
            assert (await running.get("/admin/v1/calls/mine", bearer(OPERATOR_KEY))).status == 404


async def test_without_tenants_only_the_operator_sees_calls() -> None:
    async with (
        FakeReplica() as replica,
        run_gateway(open_settings(replica, api_key="the-key-of-callers")) as running,
    ):
        assert (await running.get("/admin/v1/calls")).status == 401
        assert (await running.get("/admin/v1/calls", bearer("the-key-of-callers"))).status == 403
