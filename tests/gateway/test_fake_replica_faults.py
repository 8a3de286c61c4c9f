"""How a fake replica goes wrong when told: streams that end badly, connections that break."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from gateway.fake_replica_clients import ASK, CHAT, STREAM, client_of, opened, receive, request
from lmaas_gateway.testing import (
    Ending,
    FakeReplica,
    Fault,
    Outcome,
    Point,
    Script,
)


class TestEndings:
    @pytest.mark.parametrize(
        ("ending", "has_finish", "last"),
        [
            (Ending.COMPLETE, True, "[DONE]"),
            (Ending.NO_FINISH_REASON, False, "[DONE]"),
            (Ending.NO_TERMINAL_EVENT, True, "length"),
            (Ending.EOF, False, "three"),
            (Ending.ENGINE_ERROR, False, "[DONE]"),
        ],
    )
    async def test_chat(self, ending: Ending, has_finish: bool, last: str) -> None:
        async with FakeReplica(script=Script(ending=ending)) as replica, client_of(replica) as client:
            text = (await client.post(CHAT, json=STREAM)).text
        assert ('"finish_reason":"length"' in text) == has_finish
        assert last in text.strip().rpartition("\n")[2]
        assert ("EngineCore encountered an issue" in text) == (ending is Ending.ENGINE_ERROR)

    @pytest.mark.parametrize(
        ("path", "terminal", "error"),
        [("/v1/messages", "message_stop", "event: error"), ("/v1/responses", "response.completed", None)],
    )
    async def test_other_dialects(self, path: str, terminal: str, error: str | None) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            ask = {**STREAM, "input": "x"}
            whole = (await client.post(path, json=ask)).text
            replica.script = Script(ending=Ending.ENGINE_ERROR)
            broken = (await client.post(path, json=ask)).text
        assert f"event: {terminal}\n" in whole
        assert f"event: {terminal}\n" not in broken
        assert error is None or error in broken


class TestFaults:
    @pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
    @pytest.mark.parametrize(
        ("point", "events", "expected"),
        [(Point.BEFORE_HEADERS, 0, None), (Point.AFTER_HEADERS, 0, 0), (Point.AFTER_EVENTS, 2, 2)],
    )
    async def test_connection_breaks_where_told(
        self, fault: Fault, point: Point, events: int, expected: int | None
    ) -> None:
        script = Script(fault=fault, fault_at=point, fault_events=events)
        async with FakeReplica(script=script) as replica:
            got = await receive(replica, STREAM)
        assert got.was_reset == (fault is Fault.RESET)
        if not got.was_reset:  # A reset may overtake what was sent before it.
            assert bool(got.head) == (expected is not None)
            assert got.body.count(b"data: ") == (expected or 0)
        assert [call.outcome for call in replica.calls] == [Outcome.BROKEN]
        assert (replica.running, replica.aborted) == (0, 0)

    async def test_event_is_torn_in_the_middle(self) -> None:
        script = Script(fault=Fault.CLOSE, fault_at=Point.INSIDE_EVENT, fault_events=1)
        async with FakeReplica(script=script) as replica:
            body = (await receive(replica, STREAM)).body
        assert body.count(b"data: ") == 2
        assert body.count(b"\n\n") == 1

    async def test_plain_body_counts_as_one_event(self) -> None:
        script = Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=1, body="{}")
        async with FakeReplica(script=script) as replica:
            got = await receive(replica, ASK)
        assert got.body == b"{}"
        assert replica.calls[0].outcome is Outcome.BROKEN

    @pytest.mark.parametrize(
        ("point", "expected"), [(Point.BEFORE_HEADERS, b""), (Point.AFTER_EVENTS, b"data: ")]
    )
    async def test_hanging_call_is_aborted_when_its_client_leaves(
        self, point: Point, expected: bytes
    ) -> None:
        script = Script(fault=Fault.HANG, fault_at=point, fault_events=2)
        async with FakeReplica(script=script) as replica:
            reader, writer = await opened(replica)
            writer.write(request(CHAT, STREAM))
            await replica.record.until(lambda: replica.running == 1)
            if expected:
                assert expected in await reader.readuntil(expected)
            writer.close()
            await replica.record.until(lambda: replica.aborted == 1)
        call = replica.calls[0]
        assert call.outcome is Outcome.ABORTED
        assert call.ended_at_s is not None
        assert call.at_s <= call.ended_at_s

    async def test_client_that_leaves_during_a_delay_is_noticed(self) -> None:
        async with FakeReplica(script=Script(headers_delay_s=30)) as replica:
            _, writer = await opened(replica)
            writer.write(request(CHAT, ASK))
            await replica.record.until(lambda: replica.running == 1)
            writer.close()
            await replica.record.until(lambda: replica.aborted == 1)
        assert replica.calls[0].sent_bytes == 0

    async def test_slow_reader_holds_the_stream_back(self) -> None:
        script = Script(events=("data: " + "x" * 2**16 + "\n\n",) * 1000)
        async with FakeReplica(script=script) as replica:
            _, writer = await opened(replica)
            writer.write(request(CHAT, STREAM))
            with pytest.raises(TimeoutError):
                # 62 MiB take milliseconds when nothing holds them back.
                await replica.record.until(lambda: any(call.sent_bytes > 2**25 for call in replica.calls))
            assert replica.running == 1
            writer.transport.abort()
            await replica.record.until(lambda: replica.aborted == 1)

    async def test_stopped_replica_refuses_and_comes_back_on_its_address(self) -> None:
        async with FakeReplica(script=Script(headers_delay_s=30)) as replica, client_of(replica) as client:
            call = asyncio.create_task(client.post(CHAT, json=ASK))
            await replica.record.until(lambda: replica.running == 1)
            await replica.stop()
            await replica.stop()
            with pytest.raises(httpx.TransportError):
                await call
            with pytest.raises(httpx.ConnectError):
                await client.post(CHAT, json=ASK)
            replica.script = Script()
            await replica.start()
            assert (await client.post(CHAT, json=ASK)).status_code == 200
        assert replica.aborted == 1

    async def test_waiting_for_what_never_happens_times_out(self) -> None:
        async with FakeReplica() as replica:
            with pytest.raises(TimeoutError):
                await replica.record.until(lambda: replica.requests == 1, within_s=0.01)
