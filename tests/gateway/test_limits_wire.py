"""The connection to Valkey: replies in any slices, refusals, and an end while replies are awaited."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from lmaas_gateway.call import ROUTES, Usage
from lmaas_gateway.errors import RateLimitError
from lmaas_gateway.finish import can_finish, finish
from lmaas_gateway.limits.valkey.wire import Wire, WireError
from support.calls import make_call
from support.stub import stub_server

REPLIES = b"+OK\r\n:42\r\n$5\r\nhello\r\n$-1\r\n*3\r\n:1\r\n$2\r\nab\r\n-ERR inside\r\n-ERR refused\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_replies_are_read_in_any_slices(size: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for at in range(0, len(REPLIES), size):
            writer.write(REPLIES[at : at + size])
            await asyncio.sleep(0)
        await reader.read()

    async with stub_server(serve) as port:
        wire = await Wire.open(f"redis://127.0.0.1:{port}")
        asked = [wire.ask(b"PING") for _ in range(6)]
        assert [await one for one in asked[:5]] == [b"OK", 42, b"hello", None, [1, b"ab", None]]
        with pytest.raises(WireError, match="refused"):
            await asked[5]
        wire.close()


async def test_password_and_database_are_sent_first_and_a_refusal_is_told() -> None:
    seen = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        for reply in (b"+OK\r\n", b"-ERR no such database\r\n"):
            seen += await reader.read(1000)
            writer.write(reply)
        await reader.read()

    async with stub_server(serve) as port:
        with pytest.raises(WireError, match="no such database"):
            await Wire.open(f"redis://me:p%40ss@127.0.0.1:{port}/7")
    assert b"AUTH\r\n$2\r\nme\r\n$4\r\np@ss\r\n" in seen
    assert b"SELECT\r\n$1\r\n7\r\n" in seen


@pytest.mark.parametrize("data", [b"", b"?what\r\n"])
async def test_end_of_the_connection_ends_what_is_awaited(data: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)

    async with stub_server(serve) as port:
        wire = await Wire.open(f"redis://127.0.0.1:{port}")
        with pytest.raises(WireError):
            await wire.ask(b"PING")
        assert not wire.is_open
        with pytest.raises(WireError, match="no connection"):
            await wire.ask(b"PING")


def test_stream_of_responses_ends_incomplete() -> None:
    route = next(route for route in ROUTES if route.path == "/v1/responses")
    call = make_call(b'{"model":"m","input":"a","stream":true}', route=route)
    first = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
    assert can_finish(call)
    event = finish(call, first, [0], Usage(3, 4), RateLimitError("no more"))
    name, _, data = event.partition(b"\n")
    response = msgspec.json.decode(data.removeprefix(b"data: "))["response"]
    assert name == b"event: response.incomplete"
    assert (response["id"], response["status"]) == ("resp_1", "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"] == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert response["lmaas"]["code"] == "rate_limit_exceeded"


def test_stream_of_completions_ends_as_one() -> None:
    route = next(route for route in ROUTES if route.path == "/v1/completions")
    call = make_call(b'{"model":"m","prompt":"a","stream":true}', route=route)
    events = finish(call, b'data: {"id": "cmpl-1", "created": 5}\n\n', [1], Usage(), RateLimitError("no"))
    chunk = msgspec.json.decode(events.split(b"\n\n")[0].removeprefix(b"data: "))
    assert (chunk["id"], chunk["created"], chunk["object"]) == ("cmpl-1", 5, "text_completion")
    assert chunk["choices"] == [{"index": 1, "text": "", "finish_reason": "length"}]
    assert events.endswith(b"data: [DONE]\n\n")
