"""Replicas that answer, but wrongly: F8 to F15."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.clients import ASK, asking
from faults.gateways import metric
from faults.world import replicas_here, world_of
from lmaas import (
    APIResponseValidationError,
    BadGatewayError,
    InternalServerError,
    StreamInterruptedError,
)
from lmaas_gateway.testing import FaultProxy, Script
from lmaas_gateway.testing.toxics import LimitData, Slicer

if TYPE_CHECKING:
    from faults.clients import Told

INSIDE = "/srv/secret/engine.py line 42 at 10.0.0.7"


def chunk(content: str, *, finish: str | None = None) -> str:
    reason = "null" if finish is None else f'"{finish}"'
    return (
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"mock","choices":'
        f'[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{reason}}}]}}\n\n'
    )


@pytest.mark.fault("F8")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("stream", [False, True])
async def test_failing_replica_is_passed_over(status: int, stream: bool) -> None:
    async with replicas_here(2) as (bad, good), world_of(bad, good) as world:
        bad.fake.script = Script(status=status, body=INSIDE)
        told = [await world.history.call(asking(stream=stream)) for _ in range(4)]
        assert {one.outcome for one in told} == {"ok"}
        failures = await metric(
            world.gateway.port, "lmaas_replica_failures_total", replica="mock-0", reason="status"
        )
        assert failures == sum(one.request_id in {a.request_id for a in bad.attempts()} for one in told) > 0


@pytest.mark.fault("F8")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_failure_of_all_replicas_is_told_without_their_words(status: int) -> None:
    async with replicas_here(2) as replicas, world_of(*replicas) as world, world.sdk() as client:
        told = await world.history.call(asking(status=status, body=INSIDE))
        assert told.status in {502, 503, 504}
        assert told.code
        assert b"secret" not in told.body
        assert b"10.0.0.7" not in told.body
        assert len(world.attempts_of(told)) <= 2
        with pytest.raises(InternalServerError) as caught:
            await client.chat.completions.create(**ASK, extra_body={"fake": {"status": status}})
        assert caught.value.status_code == told.status


def is_lost_as_it_should(told: Told) -> bool:
    return told.outcome == "interrupted" and told.code == "stream_interrupted" and not told.is_done


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    "script",
    [
        {"ending": "eof"},
        {"ending": "no_terminal_event"},
        {"fault": "close", "fault_at": "inside_event", "fault_events": 3},
        {"fault": "reset", "fault_at": "inside_event", "fault_events": 3},
        {"fault": "close", "fault_at": "after_events", "fault_events": 3},
        {"fault": "reset", "fault_at": "after_events", "fault_events": 3},
    ],
    ids=lambda script: "-".join(map(str, script.values())),
)
async def test_stream_cut_off_is_never_made_up(script: dict[str, Any]) -> None:
    async with replicas_here(2) as replicas, world_of(*replicas) as world, world.sdk() as client:
        assert is_lost_as_it_should(await world.history.call(asking(stream=True, **script)))
        stream = await client.chat.completions.create(**ASK, stream=True, extra_body={"fake": script})
        with pytest.raises(StreamInterruptedError):
            [chunk async for chunk in stream]


@pytest.mark.fault("F10")
@pytest.mark.parametrize("limit_bytes", [700, 1000, 1500])
async def test_stream_that_the_network_cuts_is_never_made_up(limit_bytes: int) -> None:
    async with (
        replicas_here(1) as replicas,
        FaultProxy(replicas[0].url) as proxy,
        world_of(*replicas, urls=[proxy.url]) as world,
    ):
        proxy.to_client.append(LimitData(limit_bytes))
        told = await world.history.call(asking(stream=True, tokens=50))
        assert is_lost_as_it_should(told) or told.status in {502, 503}
        proxy.heal()


ERROR_DIALECTS = {
    "openai": 'data: {"error":{"message":"inside","type":"x","code":500}}\n\n',
    "vllm": 'data: {"object":"error","message":"inside","type":"x","code":500}\n\n',
    "event": 'event: error\ndata: {"message":"inside"}\n\n',
}


@pytest.mark.fault("F11")
@pytest.mark.parametrize("dialect", ERROR_DIALECTS)
@pytest.mark.parametrize("closing", ["", "data: [DONE]\n\n"])
async def test_error_in_mid_stream_has_one_dialect(dialect: str, closing: str) -> None:
    events = [chunk("a"), chunk("b"), ERROR_DIALECTS[dialect], closing]
    async with replicas_here(2) as replicas, world_of(*replicas) as world, world.sdk() as client:
        script: dict[str, Any] = {"events": [event for event in events if event]}
        told = await world.history.call(asking(stream=True, **script))
        assert is_lost_as_it_should(told)
        assert told.tokens == 2
        assert b"inside" not in told.body
        stream = await client.chat.completions.create(**ASK, stream=True, extra_body={"fake": script})
        with pytest.raises(StreamInterruptedError) as caught:
            [chunk async for chunk in stream]
        assert caught.value.partial_text == "ab"


@pytest.mark.fault("F11")
@pytest.mark.parametrize(
    "events",
    [[ERROR_DIALECTS["openai"], "data: [DONE]\n\n"], ["data: [DONE]\n\n"], []],
    ids=["error-first", "done-only", "nothing"],
)
async def test_stream_that_failed_before_its_first_token_has_an_http_status(events: list[str]) -> None:
    async with replicas_here(2) as replicas, world_of(*replicas) as world, world.sdk() as client:
        told = await world.history.call(asking(stream=True, events=events))
        assert told.outcome == "error"
        assert told.status in {502, 503}
        assert len(world.attempts_of(told)) == 2, "the other replica was tried"
        with pytest.raises(InternalServerError):
            await client.chat.completions.create(**ASK, stream=True, extra_body={"fake": {"events": events}})


@pytest.mark.fault("F11")
async def test_done_without_a_finish_reason_is_no_success() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        told = await world.history.call(asking(stream=True, ending="no_finish_reason"))
        assert is_lost_as_it_should(told)


TEXTS = ["é", "漢字", "🙂", "a", "\\u00e9", "<tag>", "data: x", "\\n\\n", "\\r", "[DONE]"]


@pytest.mark.fault("F12")
@pytest.mark.parametrize("size_bytes", [1, 2, 3, 7])
async def test_sliced_stream_is_the_same_stream(size_bytes: int) -> None:
    events = ["\ufeff: a comment\n\n", *map(chunk, TEXTS), chunk("z", finish="stop"), "data: [DONE]\n\n"]
    async with (
        replicas_here(1) as replicas,
        FaultProxy(replicas[0].url) as proxy,
        world_of(*replicas, urls=[proxy.url]) as world,
    ):
        proxy.to_client.append(Slicer(size_bytes))
        told = await world.history.call(asking(stream=True, events=events))
        assert told.body == "".join(events).encode()
        assert told.outcome == "ok"
        proxy.heal()


@pytest.mark.fault("F12")
async def test_no_bytes_of_a_replica_crash_the_gateway() -> None:
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        lines = st.sampled_from(
            ["data: ", ": ", "event: ", "\n\n", "\r\n\r\n", "\r\r", "\n", "{}", '"', "\xff"]
        )

        async def offer(text: str) -> None:
            told = await world.history.call(asking(stream=True, events=[text]))
            assert told.outcome in {"error", "interrupted"}
            assert told.status in {200, 502, 503}

        loop = asyncio.get_running_loop()

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(lines, max_size=12).map("".join))
        def run(text: str) -> None:
            asyncio.run_coroutine_threadsafe(offer(text), loop).result(20)

        await asyncio.to_thread(run)


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "script",
    [
        {"body": "<html>login</html>", "headers": [["content-type", "text/html"]]},
        {"raw": "SSH-2.0-OpenSSH_9.2\r\n"},
    ],
    ids=["html", "not-http"],
)
async def test_stream_that_is_none_is_a_bad_reply(script: dict[str, Any]) -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world, world.sdk() as client:
        told = await world.history.call(asking(stream=True, **script))
        assert (told.status, told.code) == (502, "bad_replica_reply")
        assert b"login" not in told.body
        with pytest.raises(BadGatewayError):
            await client.chat.completions.create(**ASK, stream=True, extra_body={"fake": script})


@pytest.mark.fault("F13")
@pytest.mark.parametrize("body", ["<html>login</html>", '{"choices": [', ""])
async def test_sdk_raises_at_a_plain_body_that_is_no_completion(body: str) -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world, world.sdk() as client:
        with pytest.raises((APIResponseValidationError, BadGatewayError)):
            await client.chat.completions.create(**ASK, extra_body={"fake": {"body": body}})


@pytest.mark.fault("F15")
async def test_connection_closed_as_it_is_written_to_is_replaced_once() -> None:
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        told = []
        for number in range(40):
            # The replica closes 50 ms after each reply, and the next call comes at just that moment.
            told.append(await world.history.call(asking(stream=number % 2 == 0, close_idle_after_s=0.05)))
            await asyncio.sleep(0.047 + 0.0003 * number / 2)
        assert {one.outcome for one in told} == {"ok"}
        assert len(world.attempts()) == len(told), "no call was worked on twice"
