"""Comments in a stream that is silent, and what may still happen before and after them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmaas_gateway.api.client_watch import ClientWatch, Silences
from lmaas_gateway.meter import Meter
from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

COMMENT = b": keep-alive\n\n"
QUICK = {"stream_keep_alive_s": 0.1}


def without_comments(body: bytes) -> bytes:
    return body.replace(COMMENT, b"")


class TestComments:
    async def test_long_prefill_is_not_silent(self) -> None:
        script = Script(first_token_delay_s=0.5)
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only, **QUICK)) as running:
            reply = await running.post(CHAT, STREAM)
            line = await running.logged()
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["x-request-id"] == line["request_id"]
        assert reply.body.startswith(COMMENT)
        assert 2 <= reply.body.count(COMMENT) <= 5
        assert without_comments(reply.body).endswith(b"data: [DONE]\n\n")
        assert (line["outcome"], line["status"], line["completion_tokens"]) == ("ok", 200, 3)
        assert line["first_byte_ms"] > 400

    async def test_gaps_between_events_are_not_silent(self) -> None:
        async with FakeReplica() as only, run_gateway(settings_for(only, **QUICK)) as running:
            plain = await running.post(CHAT, STREAM)
            only.script = Script(token_gap_s=0.3)
            slow = await running.post(CHAT, STREAM)
        assert slow.body.count(COMMENT) >= 2
        assert all(event.startswith((b"data: ", b": ")) for event in slow.body.split(b"\n\n")[:-1])
        assert without_comments(slow.body).count(b"\n\n") == plain.body.count(b"\n\n")

    async def test_stream_that_flows_has_none(self) -> None:
        script = Script(token_gap_s=0.02)
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only, **QUICK)) as running:
            reply = await running.post(CHAT, {**STREAM, "max_tokens": 25})
        assert COMMENT not in reply.body

    async def test_plain_call_has_none(self) -> None:
        script = Script(headers_delay_s=0.4)
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only, **QUICK)) as running:
            reply = await running.post(CHAT, ASK)
        assert reply.json["object"] == "chat.completion"

    async def test_call_that_still_waits_for_its_turn_has_none(self) -> None:
        async with FakeReplica() as only:
            model = {"name": "mock", "kind": "chat", "max_in_flight": 1, "replicas": [{"url": only.url}]}
            settings = Settings.model_validate({"models": [model], **QUICK, "queue": {"timeout_s": 0.4}})
            async with run_gateway(settings) as running:
                only.script = Script(headers_delay_s=2)
                first = asyncio.create_task(running.post(CHAT, ASK))
                await only.record.until(lambda: only.running == 1)
                reply = await running.post(CHAT, STREAM)
                assert reply.status in {429, 503}
                assert "retry-after" in reply.headers
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)


class TestFailuresAfterThem:
    async def test_another_replica_may_still_be_tried(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = Script(fault=Fault.HANG)
            settings = settings_for(first, second, **QUICK, timeouts={"first_byte_s": 0.3})
            async with run_gateway(settings) as running:
                reply = await running.post(CHAT, STREAM)
            assert reply.status == 200
            assert COMMENT in reply.body
            assert without_comments(reply.body).endswith(b"data: [DONE]\n\n")
            assert b"error" not in reply.body
            assert (first.requests, second.requests) == (1, 1)

    @pytest.mark.parametrize(
        ("script", "code"),
        [
            (Script(fault=Fault.HANG), b"replica_timeout"),
            (Script(headers_delay_s=0.3, status=500), b"replica_error"),
            (Script(headers_delay_s=0.3, status=400), b"invalid_request"),
            (Script(headers_delay_s=0.3, body="<html>"), b"bad_replica_reply"),
        ],
    )
    async def test_failure_is_an_error_event(self, script: Script, code: bytes) -> None:
        async with FakeReplica(script=script) as only:
            settings = settings_for(only, **QUICK, timeouts={"first_byte_s": 0.6})
            async with run_gateway(settings) as running:
                reply = await running.post(CHAT, STREAM)
                line = await running.logged()
                assert running.in_flight == 0
        assert reply.status == 200
        last = without_comments(reply.body)
        assert last.startswith(b'data: {"error":{')
        assert b'"code":"%b"' % code in last
        assert b"[DONE]" not in reply.body
        assert (line["status"], line["outcome"], line["code"]) == (200, "interrupted", code.decode())

    async def test_client_that_leaves_among_them_frees_the_replica(self) -> None:
        script = Script(fault=Fault.HANG, fault_at=Point.AFTER_HEADERS)
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only, **QUICK)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, STREAM))
                await client.head()
                assert await client.chunk() == COMMENT
            await only.record.until(lambda: only.aborted == 1)
            assert (await running.logged())["status"] == 499

    async def test_client_that_does_not_read_is_sent_none(self) -> None:
        """A comment is dropped rather than waited for: the sweep has others to look after."""
        stuck = asyncio.Event()
        sent: list[Any] = []

        async def send(message: Any) -> None:
            await stuck.wait()
            sent.append(message)

        meter = Meter("req", CHAT, lambda: 0.0)
        meter.is_sent = True
        watch = ClientWatch(meter, send)
        for now_s in (0.0, 10.0, 20.0):
            watch.listen(now_s, 10.0)
        stuck.set()
        await asyncio.sleep(0)
        assert (sent, watch.has_head, meter.status) == ([], False, 0)


async def test_sweep_ends_with_the_last_stream() -> None:
    async def send(message: Any) -> None:
        raise AssertionError

    silences = Silences(0.01)
    remove = silences.add(ClientWatch(Meter("req", CHAT, lambda: 0.0), send))
    await asyncio.sleep(0.02)
    assert silences._open.is_turning
    remove()
    await asyncio.sleep(0.02)
    assert not silences._open.is_turning


async def test_stream_that_cannot_be_written_to_takes_no_comment_from_the_others() -> None:
    sent = asyncio.Event()

    async def fail(message: Any) -> None:
        raise RuntimeError(message)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.set()

    silences = Silences(0.02)
    removes = []
    for way in (fail, send, fail):
        meter = Meter("req", CHAT, lambda: 0.0)
        meter.is_sent = True
        removes.append(silences.add(ClientWatch(meter, way)))
    for _ in range(3):
        async with asyncio.timeout(10):
            await sent.wait()
        sent.clear()
    for remove in removes:
        remove()
