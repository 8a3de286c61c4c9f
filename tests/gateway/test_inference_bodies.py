"""The inference endpoint over real sockets: bodies, whole, in chunks, too long, or none."""

from __future__ import annotations

import json

import pytest

from lmaas_gateway.testing import FakeReplica
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes


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
