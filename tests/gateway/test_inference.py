"""The inference endpoint over real sockets: bodies, headers, errors, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import re
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.api.cycle import Cycle
from lmaas_gateway.meter import Meter
from lmaas_gateway.pipeline import Pipeline
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import RawClient, raw_client, request_bytes

if TYPE_CHECKING:
    from lmaas_gateway.testing import Seen

KEY = "k" * 24
SLOW = Script(tokens=1000, token_gap_s=0.02)
LINGER_ZERO = struct.pack("ii", 1, 0)


def header_of(seen: Seen, name: str) -> str | None:
    return seen.request.headers.get(name)


class TestBodies:
    async def test_body_that_needs_no_change_arrives_byte_for_byte(self) -> None:
        body = b'{ "model":"mock", "messages" :[{"role":"user","content":"h\xc3\xa9"}],"x":{"y":1.0e2}}'
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, body)
            assert reply.status == 200
            assert replica.calls[0].request.body == body

    async def test_stream_that_asks_for_usage_arrives_byte_for_byte(self) -> None:
        body = json.dumps({**STREAM, "stream_options": {"include_usage": True, "x": 1}}, indent=1).encode()
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, body)
            assert b'"usage":{' in reply.body
            assert replica.calls[0].request.body == body

    async def test_stream_is_asked_for_usage_and_keeps_everything_else(self) -> None:
        ask = {**STREAM, "stream_options": {"continuous_usage_stats": False}, "vllm_xargs": {"a": [1]}}
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, ask)
            assert b'"usage"' not in reply.body
            sent = json.loads(replica.calls[0].request.body)
        assert sent["stream_options"].pop("include_usage") is True
        assert sent == ask

    async def test_omitted_fields_stay_omitted(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            await running.post(CHAT, STREAM)
            sent = json.loads(replica.calls[0].request.body)
        assert set(sent) == {*STREAM, "stream_options"}

    async def test_chunked_body(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for byte in json.dumps(ASK).encode():
                    client.send(b"1\r\n" + bytes([byte]) + b"\r\n")
                client.send(b"0\r\n\r\n")
                assert (await client.response()).status == 200
            assert json.loads(replica.calls[0].request.body) == ASK

    async def test_body_announced_too_long_is_refused_before_it_comes(self) -> None:
        async with FakeReplica() as replica:
            async with run_gateway(settings_for(replica, max_body_bytes=2048)) as running:
                async with raw_client(running.port) as client:
                    client.send(
                        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 67108864\r\n\r\n"
                    )
                    reply = await client.response()
                assert reply.status == 413
                assert reply.error["code"] == "body_too_large"
                assert "2048" in reply.error["message"]
                assert (await running.logged())["status"] == 413
            assert replica.requests == 0

    @pytest.mark.parametrize("pieces", [1, 64])
    async def test_chunked_body_that_grows_too_long_is_refused(self, pieces: int) -> None:
        async with FakeReplica() as replica:
            async with run_gateway(settings_for(replica, max_body_bytes=2048)) as running:
                async with raw_client(running.port) as client:
                    head = (
                        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                    )
                    chunk = b"%x\r\n%b\r\n" % (6400 // pieces, b" " * (6400 // pieces))
                    client.send(head + chunk * pieces + b"0\r\n\r\n")
                    reply = await client.response()
                assert (reply.status, reply.error["code"]) == (413, "body_too_large")
            assert replica.requests == 0

    async def test_64_mebibytes_are_refused_and_the_service_goes_on(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, b"x" * (64 * 2**20)))
                reply = await client.response()
                assert (reply.status, reply.headers["connection"]) == (413, "close")
            assert (await running.post(CHAT, ASK)).status == 200

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b'{"model":7}', b'{"a":' * 200_000, b'{"model":"\xff"}']
    )
    async def test_malformed_body_is_a_400_and_the_connection_goes_on(self, body: bytes) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(request_bytes(CHAT, body))
            reply = await client.response()
            assert reply.status == 400
            assert reply.error["type"] == "invalid_request_error"
            assert reply.error["code"] == "invalid_body"
            client.send(request_bytes(CHAT, ASK))
            assert (await client.response()).status == 200

    async def test_expect_continue_is_answered(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            head, _, body = request_bytes(CHAT, ASK, "expect: 100-continue").partition(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n")
            assert (await client.head())[0] == 100
            client.send(body)
            assert (await client.response()).status == 200


class TestHeaders:
    async def test_valid_request_id_goes_through_and_comes_back(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, ASK, "x-request-id: abc-1.2:3_4")
            assert reply.headers["x-request-id"] == "abc-1.2:3_4"
            assert header_of(replica.calls[0], "x-request-id") == "abc-1.2:3_4"
            assert (await running.logged())["request_id"] == "abc-1.2:3_4"

    @pytest.mark.parametrize("hostile", ["a b", "a\tb", 'x"y', "{}", "é", "x" * 129, ""])
    async def test_hostile_request_id_is_replaced(self, hostile: str) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, ASK, f"x-request-id: {hostile}")
            assert re.fullmatch("req_[0-9a-f]{32}", reply.headers["x-request-id"])
            assert header_of(replica.calls[0], "x-request-id") == reply.headers["x-request-id"]

    async def test_errors_carry_the_request_id(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, b"{", "x-request-id: mine")
            assert reply.headers["x-request-id"] == "mine"
            assert reply.headers["content-type"] == "application/json"

    async def test_replica_sees_only_headers_of_the_list(self) -> None:
        sent = {"traceparent": "00-a-b-01", "anthropic-version": "2023-06-01", "anthropic-beta": "x"}
        secret = {
            "authorization": f"Bearer {KEY}",
            "x-api-key": KEY,
            "cookie": "session=1",
            "x-forwarded-for": "10.0.0.1",
            "user-agent": "agent",
            "x-fake": "1",
        }
        lines = [f"{name}: {value}" for name, value in {**sent, **secret}.items()]
        async with FakeReplica() as replica:
            async with run_gateway(settings_for(replica, api_key=KEY)) as running:
                assert (await running.post(CHAT, ASK, *lines)).status == 200
            seen = replica.calls[0].request.headers
        assert {name: seen[name] for name in sent} == sent
        assert set(seen) - set(sent) == {
            "host",
            "accept-encoding",
            "content-type",
            "content-length",
            "x-request-id",
        }
        assert KEY not in str(dict(seen))

    async def test_stream_headers_keep_proxies_from_gathering(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, STREAM)
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-accel-buffering"] == "no"
        assert reply.headers["transfer-encoding"] == "chunked"

    async def test_plain_reply_keeps_its_length(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, ASK)
        assert int(reply.headers["content-length"]) == len(reply.body)


class TestRefusals:
    async def test_wrong_kind_lists_the_routes_that_exist(self) -> None:
        async with FakeReplica(FakeModel(kind="embedding")) as replica:
            async with run_gateway(settings_for(replica, kind="embedding")) as running:
                reply = await running.post(CHAT, ASK)
            assert replica.requests == 0
        assert (reply.status, reply.error["code"], reply.error["param"]) == (
            400,
            "unsupported_route",
            "model",
        )
        assert "/v1/embeddings" in reply.error["message"]

    async def test_unknown_model_names_close_ones(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, {**ASK, "model": "mok"})
            line = await running.logged()
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
        assert "Did you mean 'mock'?" in reply.error["message"]
        assert line["code"] == "model_not_found"
        assert line["model"] == ""

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            (f"authorization: Bearer {KEY}", 200),
            (f"authorization: bearer {KEY}", 200),
            (f"x-api-key: {KEY}", 200),
            (f"api-key: {KEY}", 200),
            ("authorization: Bearer wrong", 401),
            (f"authorization: Basic {KEY}", 401),
            ("x-api-key: wrong", 401),
            ("x-none: 1", 401),
        ],
    )
    async def test_key_is_asked_for(self, header: str, status: int) -> None:
        async with FakeReplica() as replica:
            async with run_gateway(settings_for(replica, api_key=KEY)) as running:
                reply = await running.post(CHAT, ASK, header)
                line = await running.logged()
            assert reply.status == status
            assert replica.requests == (status == 200)
        if status == 401:
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.error["code"] == "invalid_api_key"
            assert KEY not in reply.body.decode()
        assert line.get("principal", "") == ("api-key" if status == 200 else "")
        assert KEY not in str(line)

    async def test_no_body_is_read_for_a_caller_without_the_key(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, api_key=KEY)) as running,
            raw_client(running.port) as client,
        ):
            client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
            assert (await client.response()).status == 401

    async def test_messages_route_speaks_anthropics_errors(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, api_key=KEY)) as running,
        ):
            refused = await running.post("/v1/messages", ASK)
            missing = await running.post("/v1/messages", {**ASK, "model": "no"}, f"x-api-key: {KEY}")
        assert refused.status == 401
        assert refused.json["type"] == "error"
        assert refused.error["type"] == "authentication_error"
        assert refused.json["request_id"] == refused.headers["x-request-id"]
        assert missing.error["type"] == "not_found_error"

    async def test_crash_inside_the_gateway_is_a_500_without_its_text(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def crash(*_: object) -> None:
            message = "one two three"
            raise ZeroDivisionError(message)

        monkeypatch.setattr(Pipeline, "handle", crash)
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            with caplog.at_level(logging.ERROR, "lmaas.gateway"):
                reply = await running.post(CHAT, ASK, "x-request-id: crash-1")
            line = await running.logged()
        assert (reply.status, reply.error["code"]) == (500, "internal_error")
        assert b"Zero" not in reply.body
        assert b"one two" not in reply.body
        (record,) = caplog.records
        assert "one two" not in record.getMessage()
        assert record.__dict__["request_id"] == "crash-1"
        assert (line["status"], line["outcome"]) == (500, "error")


class TestConnections:
    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(
                    b"".join(request_bytes(CHAT, ASK, f"x-request-id: r{number}") for number in range(4))
                )
                ids = [(await client.response()).headers["x-request-id"] for _ in range(4)]
            assert ids == ["r0", "r1", "r2", "r3"]

    async def test_stream_then_plain_then_error_on_one_connection(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, STREAM))
                assert (await client.response()).body.endswith(b"data: [DONE]\n\n")
                client.send(request_bytes(CHAT, ASK))
                assert (await client.response()).json["object"] == "chat.completion"
                client.send(request_bytes(CHAT, {**ASK, "model": "x"}))
                assert (await client.response()).status == 404
                client.send(request_bytes(CHAT, ASK))
                assert (await client.response()).status == 200
            assert replica.record.connections <= 2

    async def test_events_arrive_as_they_are_made(self) -> None:
        script = Script(tokens=3, token_gap_s=0.15)
        async with (
            FakeReplica(script=script) as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(request_bytes(CHAT, STREAM))
            await client.head()
            await client.chunk()
            assert replica.running == 1
            while await client.chunk():
                pass

    async def test_many_streams_at_once_are_not_mixed_up(self) -> None:
        async with (
            FakeReplica(script=Script(slice_bytes=7)) as replica,
            run_gateway(settings_for(replica)) as running,
        ):

            async def stream(number: int) -> None:
                words = f"w{number} x{number} y{number}"
                ask = {**STREAM, "messages": [{"role": "user", "content": words}]}
                reply = await running.post(CHAT, ask)
                events = [line[6:] for line in reply.body.decode().split("\n\n") if line]
                assert events.pop() == "[DONE]"
                deltas = [json.loads(event)["choices"][0]["delta"]["content"] for event in events]
                assert "".join(deltas) == words

            await asyncio.gather(*(stream(number) for number in range(50)))
            assert running.in_flight == 0


async def leave(client: RawClient, *, with_reset: bool) -> None:
    sock = client.writer.get_extra_info("socket")
    if with_reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    client.writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await client.writer.wait_closed()


LONG: dict[str, Any] = {**ASK, "pad": "x" * 300_000}


class TestClientGone:
    @pytest.mark.parametrize("with_reset", [False, True])
    @pytest.mark.parametrize(
        ("fields", "script"),
        [
            (STREAM, Script(headers_delay_s=30)),
            (STREAM, Script(fault=Fault.HANG, fault_at=Point.AFTER_HEADERS)),
            (ASK, Script(headers_delay_s=30)),
            (ASK, Script(fault=Fault.HANG, fault_at=Point.INSIDE_EVENT)),
            (LONG, Script(headers_delay_s=30)),
            ({**LONG, "stream": True}, Script(headers_delay_s=30)),
        ],
    )
    async def test_before_the_first_token_frees_the_replica(
        self, fields: dict[str, Any], script: Script, with_reset: bool
    ) -> None:
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, fields))
                await replica.record.until(lambda: replica.running == 1)
                await leave(client, with_reset=with_reset)
            await replica.record.until(lambda: replica.aborted == 1)
            line = await running.logged()
            assert (line["status"], line["outcome"]) == (499, "client_gone")
            assert running.in_flight == 0

    @pytest.mark.parametrize("with_reset", [False, True])
    async def test_in_the_middle_of_a_stream_frees_the_replica(self, with_reset: bool) -> None:
        async with FakeReplica(script=SLOW) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**ASK, "stream": True}))
                await client.head()
                await client.chunk()
                await leave(client, with_reset=with_reset)
            await replica.record.until(lambda: replica.aborted == 1)
            line = await running.logged()
            assert (line["status"], line["outcome"], line["stream"]) == (499, "client_gone", True)
            assert line["first_byte_ms"] > 0
            assert running.in_flight == 0

    async def test_while_it_does_not_read_frees_the_replica(self) -> None:
        script = Script(events=("data: " + "x" * 60_000 + "\n\n",) * 2000)
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**ASK, "stream": True}))
                await client.head()
                await replica.record.until(lambda: replica.running == 1)
                sent = -1
                while replica.calls[0].sent_bytes != sent:
                    sent = replica.calls[0].sent_bytes
                    await asyncio.sleep(0.1)
                assert sent < 100_000_000
                await leave(client, with_reset=True)
            await replica.record.until(lambda: replica.aborted == 1)
            assert (await running.logged())["status"] == 499
            assert running.in_flight == 0

    async def test_within_its_upload_reaches_no_replica(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, ASK)[:-10])
                await asyncio.sleep(0.05)
            assert (await running.logged())["status"] == 499
            assert replica.requests == 0

    async def test_within_a_long_upload_reaches_no_replica(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, LONG)[:-10])
                await asyncio.sleep(0.05)
            assert (await running.logged())["status"] == 499
            assert replica.requests == 0

    async def test_with_another_request_in_the_pipe_frees_the_replica(self) -> None:
        async with FakeReplica(script=SLOW) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**ASK, "stream": True}) + request_bytes(CHAT, ASK))
                await client.head()
                await client.chunk()
                await leave(client, with_reset=True)
            await replica.record.until(lambda: replica.aborted == 1)
            assert (await running.logged())["status"] == 499
            assert replica.requests == 1

    async def test_after_its_reply_is_nothing(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            assert (await running.post(CHAT, ASK)).status == 200
            assert (await running.logged())["outcome"] == "ok"


class TestShutdown:
    @pytest.mark.parametrize(("fields", "code"), [(ASK, 503), (STREAM, 200)])
    async def test_call_that_outlasts_the_gateway_is_told(self, fields: dict[str, Any], code: int) -> None:
        script = Script(tokens=1000, token_gap_s=0.02) if code == 200 else Script(headers_delay_s=30)
        ask = {**fields, "max_tokens": 1000}
        async with FakeReplica(script=script) as replica:
            async with (
                run_gateway(settings_for(replica, shutdown_timeout_s=0)) as running,
                raw_client(running.port) as client,
            ):
                client.send(request_bytes(CHAT, ask))
                if code == 200:
                    await client.head()
                    await client.chunk()
                else:
                    await replica.record.until(lambda: replica.running == 1)
                running.server.should_exit = True
                async with asyncio.timeout(5):
                    answer = await client.reader.read()
            assert b"server_shutting_down" in answer
            assert b"[DONE]" not in answer
            assert running.log[0]["code"] == "server_shutting_down"
            assert running.log[0]["status"] == code
            assert running.in_flight == 0


class TestMemory:
    @pytest.mark.parametrize("fields", [ASK, STREAM, {**ASK, "model": "nobody"}, {**ASK, "n": -1}])
    async def test_calls_leave_nothing_behind_that_only_the_garbage_collector_finds(
        self, fields: dict[str, Any]
    ) -> None:
        """Ten thousand such objects would stop all streams for ten milliseconds."""
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            gc.collect()
            gc.disable()
            try:
                for _ in range(12):
                    client.send(request_bytes(CHAT, fields))
                    await client.response()
                left = [type(one) for one in gc.get_objects() if isinstance(one, Cycle | Meter)]
            finally:
                gc.enable()
        assert left.count(Cycle) <= 2, left
        assert left.count(Meter) <= 2, left
