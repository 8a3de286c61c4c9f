"""The inference endpoint over real sockets: headers, refusals, connections."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.pipeline import Pipeline
from lmaas_gateway.testing import FakeModel, FakeReplica, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from lmaas_gateway.testing import Seen


KEY = "k" * 24


def header_of(seen: Seen, name: str) -> str | None:
    return seen.request.headers.get(name)


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
