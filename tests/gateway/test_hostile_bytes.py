"""Raw bytes that a gateway must not be fooled by: smuggling, hop-by-hop headers, upgrades, pipelines."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from lmaas_gateway.testing import FakeReplica, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from support.serving import Running

KEY = "k" * 24
BODY = msgspec.json.encode(ASK)
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


async def everything(running: Running, data: bytes) -> bytes:
    """All that the gateway says to `data`, to the end of the connection."""
    async with raw_client(running.port) as client:
        client.send(data)
        async with asyncio.timeout(5):
            return await client.reader.read()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKED, id="CL+TE"),
        pytest.param(POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n" + CHUNKED, id="TE+CL"),
        pytest.param(POST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", id="two equal lengths"),
        pytest.param(POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", id="two lengths"),
        pytest.param(POST + b"content-length: 3, 3\r\n\r\nabc", id="list of lengths"),
        pytest.param(POST + b"content-length: +3\r\n\r\nabc", id="signed length"),
        pytest.param(POST + b"content-length: -3\r\n\r\nabc", id="negative length"),
        pytest.param(POST + b"content-length: 0x3\r\n\r\nabc", id="hex length"),
        pytest.param(POST + b"content-length: 99999999999999999999999\r\n\r\n", id="endless length"),
        pytest.param(POST + b"content-length : 3\r\n\r\nabc", id="space before colon"),
        pytest.param(POST + b"transfer-encoding: gzip\r\n\r\n", id="TE gzip"),
        pytest.param(POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKED, id="TE gzip, chunked"),
        pytest.param(POST + b"transfer-encoding: chunked, gzip\r\n\r\n" + CHUNKED, id="TE chunked, gzip"),
        pytest.param(POST + b"transfer-encoding: identity\r\n\r\n", id="TE identity"),
        pytest.param(POST + b"transfer-encoding: xchunked\r\n\r\n" + CHUNKED, id="TE xchunked"),
        pytest.param(POST + b"transfer-encoding: \x0bchunked\r\n\r\n" + CHUNKED, id="TE with VT"),
        pytest.param(
            POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + CHUNKED, id="two TE"
        ),
        pytest.param(POST + b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKED, id="folded TE"),
        pytest.param(POST + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n", id="folded header"),
        pytest.param(b"GET /livez HTTP/1.1\nhost: gateway\n\n", id="bare LF"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: gateway\nx: y\r\n\r\n", id="bare LF in a header"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: gateway\rx: y\r\n\r\n", id="bare CR"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: gateway\r\nx: a\0b\r\n\r\n", id="NUL in a header"),
        pytest.param(b"GET /livez HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", id="two Hosts"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: a/?x=\r\n\r\n", id="Host with a path"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: user@a\r\n\r\n", id="Host with a user"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: a b\r\n\r\n", id="Host with a space"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: a\\b\r\n\r\n", id="Host with a backslash"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: %b\r\n\r\n" % (b"a" * 300), id="long Host"),
        pytest.param(
            b"POST /livez HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", id="TE in 1.0"
        ),
        pytest.param(b"GET /livez\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET /livez HTTP/2.0\r\nhost: a\r\n\r\n", id="HTTP/2.0 in words"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="TLS"),
        pytest.param(POST + b"connection: authorization\r\ncontent-length: 0\r\n\r\n", id="names the key"),
        pytest.param(POST + b"connection: close, content-length\r\ncontent-length: 0\r\n\r\n", id="names CL"),
        pytest.param(POST + b"connection: host\r\ncontent-length: 0\r\n\r\n", id="names Host"),
        pytest.param(
            POST + b"expect: 100-continue\r\nexpect: x\r\ncontent-length: 0\r\n\r\n", id="two Expects"
        ),
        pytest.param(POST + b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", id="0x chunk"),
        pytest.param(POST + b"transfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", id="LF after a size"),
        pytest.param(
            POST + b"transfer-encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", id="LF in extension"
        ),
        pytest.param(POST + b"transfer-encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", id="negative chunk"),
        pytest.param(POST + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n", id="endless chunk"),
    ],
)
async def test_ambiguous_request_is_refused_and_reaches_no_replica(data: bytes) -> None:
    smuggled = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n"
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        answer = await everything(running, data + smuggled)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"HTTP/1.1 200 " not in answer
        assert b"connection: close" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"
        assert replica.requests == 0


async def test_the_matched_route_counts_not_the_uri_or_the_host() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, api_key=KEY)) as running:
        for target in (b"http://evil.example/v1/models", b"//evil.example/v1/models", b"/livez/../v1/models"):
            async with raw_client(running.port) as client:
                client.send(b"GET %b HTTP/1.1\r\nhost: evil.example:99\r\n\r\n" % target)
                reply = await client.response()
                assert reply.status in {401, 404}
                assert b"evil" not in reply.body or reply.status == 404


async def test_headers_named_by_connection_end_here() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        reply = await running.post(CHAT, ASK, "connection: keep-alive, traceparent", "traceparent: 00-1")
        assert reply.status == 200
        assert "traceparent" not in replica.calls[0].request.headers


async def test_trailers_are_not_headers() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, api_key=KEY)) as running:
        async with raw_client(running.port) as client:
            body = CHUNKED.removesuffix(b"\r\n") + b"authorization: Bearer %b\r\n\r\n" % KEY.encode()
            client.send(POST + b"transfer-encoding: chunked\r\n\r\n" + body)
            assert (await client.response()).status == 401
        assert replica.requests == 0


class TestUpgrade:
    @pytest.mark.parametrize("framing", ["length", "chunks"])
    async def test_wish_for_http2_is_passed_over_and_the_body_is_served(self, framing: str) -> None:
        upgrade = (
            b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
        )
        if framing == "length":
            rest = b"content-length: %d\r\n\r\n" % len(BODY) + BODY
        else:
            rest = b"transfer-encoding: chunked\r\n\r\n" + CHUNKED
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                for _ in range(2):
                    client.send(POST + upgrade + rest)
                    assert (await client.response()).status == 200
            assert [json.loads(call.request.body) for call in replica.calls] == [ASK, ASK]

    async def test_body_that_comes_in_pieces_is_served_too(self) -> None:
        head = POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % len(BODY)
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            for piece in (head[:40], head[40:], BODY[:10], BODY[10:]):
                client.send(piece)
                await asyncio.sleep(0.01)
            assert (await client.response()).status == 200

    async def test_connection_options_besides_the_upgrade_count(self) -> None:
        data = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close, upgrade\r\nupgrade: websocket\r\n\r\n"
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            answer = await everything(running, data)
        assert answer.startswith(b"HTTP/1.1 200 ")

    async def test_gateway_is_no_proxy(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            answer = await everything(
                running, b"CONNECT internal:22 HTTP/1.1\r\nhost: internal:22\r\n\r\nSSH"
            )
        assert answer.startswith(b"HTTP/1.1 405 ")


class TestPipeline:
    async def test_garbage_behind_a_request_does_not_cut_into_its_stream(self) -> None:
        async with (
            FakeReplica(script=Script(token_gap_s=0.02)) as replica,
            run_gateway(settings_for(replica)) as running,
        ):
            answer = await everything(running, request_bytes(CHAT, STREAM) + b"\x00garbage\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"data: [DONE]" in answer
        assert answer.endswith(b"0\r\n\r\n")

    @pytest.mark.parametrize("between", [b"", request_bytes(CHAT, STREAM)])
    async def test_broken_body_behind_a_stream_is_answered_behind_it(
        self, monkeypatch: pytest.MonkeyPatch, between: bytes
    ) -> None:
        monkeypatch.setattr("lmaas_gateway.api.protocol._LINGER_S", 0.1)
        async with (
            FakeReplica(script=Script(token_gap_s=0.2)) as replica,
            run_gateway(settings_for(replica, connections={"header_timeout_s": 0.2})) as running,
            raw_client(running.port) as client,
        ):
            broken = POST + b"transfer-encoding: chunked\r\n\r\nZZ\r\n"
            client.send(request_bytes(CHAT, STREAM) + between + broken)
            for _ in range(2 if between else 1):
                assert (await client.response()).body.endswith(b"data: [DONE]\n\n")
            refused = await client.response()
            assert (refused.status, refused.headers["connection"]) == (400, "close")
            assert await client.reader.read() == b""

    async def test_broken_body_that_nobody_reads_is_answered_behind_the_stream(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmaas_gateway.api.protocol._LINGER_S", 0.1)
        async with (
            FakeReplica(script=Script(token_gap_s=0.2)) as replica,
            run_gateway(settings_for(replica, connections={"header_timeout_s": 0.2})) as running,
            raw_client(running.port) as client,
        ):
            broken = b"GET /livez HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n"
            client.send(request_bytes(CHAT, STREAM) + broken)
            assert (await client.response()).body.endswith(b"data: [DONE]\n\n")
            assert (await client.response()).headers["connection"] == "close"
            assert await client.reader.read() == b""

    async def test_more_requests_ahead_than_anybody_needs_end_the_connection(self) -> None:
        async with (
            FakeReplica(script=Script(token_gap_s=0.02)) as replica,
            run_gateway(settings_for(replica)) as running,
        ):
            ahead = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n" * 1000
            answer = await everything(running, request_bytes(CHAT, STREAM) + ahead)
        assert 1 < answer.count(b"HTTP/1.1 200 ") < 50

    async def test_request_behind_a_connection_close_is_not_served(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            answer = await everything(
                running, request_bytes(CHAT, ASK, "connection: close") + request_bytes(CHAT, ASK)
            )
            assert answer.count(b"HTTP/1.1 ") == 1
            assert replica.requests == 1


class TestCaps:
    async def test_long_url(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            answer = await everything(running, b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"a" * 9000))
        assert answer.startswith(b"HTTP/1.1 414 ")
        assert b'"uri_too_long"' in answer

    async def test_many_headers(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            answer = await everything(
                running, b"GET /livez HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 200 + b"\r\n"
            )
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b'"headers_too_large"' in answer

    @pytest.mark.parametrize("ends", [True, False])
    async def test_long_head(self, ends: bool) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            data = b"GET /livez HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000 + b"\r\n\r\n" * ends
            answer = await everything(running, data)
        assert answer.startswith(b"HTTP/1.1 431 ")

    async def test_head_that_comes_in_pieces_is_counted_whole(self) -> None:
        async with FakeReplica() as replica:
            settings = settings_for(replica, connections={"max_header_bytes": 2048})
            async with run_gateway(settings) as running, raw_client(running.port) as client:
                client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n")
                for _ in range(30):
                    client.send(b"x: " + b"y" * 100 + b"\r\n")
                    await asyncio.sleep(0.001)
                assert (await client.head())[0] == 431

    async def test_long_body_does_not_count_as_head(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            ask = {**ASK, "x": "y" * 200_000}
            assert (await running.post(CHAT, ask)).status == 200

    @pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "zstd"])
    async def test_compressed_body_is_refused_unread(self, coding: str) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, ASK, f"content-encoding: {coding}")
            assert (reply.status, reply.error["code"]) == (415, "unsupported_encoding")
            assert replica.requests == 0

    async def test_refusal_before_the_body_was_read_ends_the_connection(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, api_key=KEY)) as running,
            raw_client(running.port) as client,
        ):
            client.send(POST + b"content-length: 5000\r\n\r\n")
            reply = await client.response()
            assert (reply.status, reply.headers["connection"]) == (401, "close")
            assert await client.reader.read() == b""

    async def test_refused_client_that_expected_100_sends_nothing(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(POST + b"expect: 100-continue\r\ncontent-length: 999999999\r\n\r\n")
            reply = await client.response()
            assert (reply.status, reply.headers["connection"]) == (413, "close")

    async def test_endless_chunks_are_cut_when_the_limit_is_passed(self) -> None:
        async with FakeReplica() as replica:
            async with run_gateway(settings_for(replica, max_body_bytes=65536)) as running:
                async with raw_client(running.port) as client:
                    client.send(POST + b"transfer-encoding: chunked\r\n\r\n")
                    sent = 0
                    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
                    with contextlib.suppress(ConnectionError):
                        while sent < 2**33:
                            client.send(piece)
                            await client.writer.drain()
                            sent += len(piece)
                assert sent < 2**33
                assert (await running.logged())["status"] == 413
            assert replica.requests == 0
