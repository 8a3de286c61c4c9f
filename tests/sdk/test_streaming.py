from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas import AsyncLMaaS, AsyncStream, DefaultAioHttpClient, LMaaS, Stream, Timeout, errors
from lmaas.resources.chat import _reader
from lmaas.sse import MAX_EVENT_BYTES
from lmaas.types import ChatCompletionChunk
from sdk.hostile import (
    DONE,
    STREAM_HEAD,
    Connection,
    Script,
    answering,
    chat_event,
    chunked,
    head,
    reply,
    serving,
    streaming,
)

GOOD = [chat_event("Hel"), chat_event("lo"), chat_event(finish="stop"), DONE]
MESSAGES = [{"role": "user", "content": "hi"}]
Chat: TypeAlias = Callable[..., list[str]]


def text_of(chunk: ChatCompletionChunk) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


def chat_sync(url: str, **options: Any) -> list[str]:
    with (
        LMaaS(base_url=url, **{"max_retries": 0, **options}) as client,
        client.chat.completions.create(messages=MESSAGES, model="m", stream=True) as stream,
    ):
        return [text_of(chunk) for chunk in stream]


def chat_async(url: str, **options: Any) -> list[str]:
    async def chat() -> list[str]:
        async with AsyncLMaaS(base_url=url, **{"max_retries": 0, **options}) as client:
            stream = await client.chat.completions.create(messages=MESSAGES, model="m", stream=True)
            async with stream:
                return [text_of(chunk) async for chunk in stream]

    return asyncio.run(chat())


def chat_aiohttp(url: str, **options: Any) -> list[str]:
    return chat_async(url, http_client=DefaultAioHttpClient(), **options)


@pytest.fixture(params=[chat_sync, chat_async, chat_aiohttp])
def chat(request: pytest.FixtureRequest) -> Chat:
    return cast("Chat", request.param)


@dataclass
class Head:
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"x-request-id": "r"})
    label: str = "POST /v1/chat/completions"
    secret: str = ""


def read(*parts: bytes) -> tuple[list[str], str]:
    """Return the texts of the chunks and how it ended, without any network."""
    reader = _reader(Head())
    texts: list[str] = []
    try:
        for part in parts:
            for chunk in reader.feed(part):
                texts.append(text_of(chunk))  # noqa: PERF401 - what came before an error counts too
        reader.finish()
    except errors.APIError as error:
        return texts, f"{type(error).__name__} after {reader.partial_text!r}"
    return texts, "whole"


OTHERS = [chat_event("é字"), chat_event("2", index=1), chat_event(finish="length", index=1), b": ping\n\n"]
FAULTS = [b"data: {}\n\n", b'data: {"error": {"message": "m"}}\n\n', b"event: error\ndata: x\n\n", b"data: {"]
STREAMS = st.lists(st.sampled_from([*GOOD, *OTHERS, *FAULTS]), max_size=8)


@given(STREAMS, st.lists(st.integers(0, 400), max_size=10))
def test_stream_means_the_same_however_it_is_sliced(events: list[bytes], cuts: list[int]) -> None:
    data = b"".join(events)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    sliced = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert read(*sliced) == read(data)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (GOOD, "whole"),
        (GOOD[:-1], "StreamTruncatedError after 'Hello'"),
        ([*GOOD[:2], DONE], "StreamTruncatedError after 'Hello'"),
        ([DONE], "StreamTruncatedError after ''"),
        ([], "StreamTruncatedError after ''"),
        ([*GOOD[:3], chat_event("x", index=1), DONE], "StreamTruncatedError after 'Hello'"),
        ([*GOOD[:3], chat_event("x", index=1), chat_event(finish="stop", index=1), DONE], "whole"),
        ([*GOOD[:3], DONE[:-1]], "StreamTruncatedError after 'Hello'"),
        ([GOOD[0], GOOD[1][:-9]], "StreamTruncatedError after 'Hel'"),
        ([GOOD[0], b"data: not json\n\n"], "APIResponseValidationError after 'Hel'"),
        ([GOOD[0], b"data: [1]\n\n"], "APIResponseValidationError after 'Hel'"),
        ([GOOD[0], b'data: {"error": {"message": "m"}}\n\n'], "StreamInterruptedError after 'Hel'"),
        ([GOOD[0], b'data: {"error": {"code": 400}}\n\n'], "BadRequestError after 'Hel'"),
        ([GOOD[0], b'data: {"object": "error", "message": "m"}\n\n'], "StreamInterruptedError after 'Hel'"),
        ([GOOD[0], b"event: error\ndata: boom\n\n"], "StreamInterruptedError after 'Hel'"),
        (
            [GOOD[0], b'event: error\ndata: {"error": {"code": 502}}\n\n'],
            "BadGatewayError after 'Hel'",
        ),
        ([GOOD[0], b"data: " + b"x" * MAX_EVENT_BYTES], "StreamError after 'Hel'"),
        ([GOOD[0], b": " + b"x" * MAX_EVENT_BYTES], "StreamError after 'Hel'"),
    ],
)
def test_only_a_whole_answer_ends_well(events: list[bytes], outcome: str) -> None:
    assert read(*events)[1] == outcome


def test_error_beside_choices_is_an_error() -> None:
    event = json.loads(chat_event("x").removeprefix(b"data: "))
    event["error"] = {"message": "m", "code": "stream_interrupted"}
    assert read(f"data: {json.dumps(event)}\n\n".encode())[1] == "StreamInterruptedError after ''"


def test_usage_chunk_without_choices_is_given_on() -> None:
    usage = {"id": "c", "created": 1, "model": "m", "choices": [], "usage": {"prompt_tokens": 1}}
    event = f"data: {json.dumps(usage)}\n\n".encode()
    assert read(*GOOD[:-1], event, DONE) == (["Hel", "lo", "", ""], "whole")


def test_whole_stream_arrives_and_its_connection_is_used_again() -> None:
    def script(connection: Connection) -> None:
        while connection.receive():
            connection.send(STREAM_HEAD)
            for event in GOOD:
                connection.send(chunked(event))
            connection.send(chunked(b""))

    with serving(script) as server, LMaaS(base_url=server.url) as client:
        for _ in range(3):
            stream = client.chat.completions.create(messages=MESSAGES, model="m", stream=True)
            assert [text_of(chunk) for chunk in stream] == ["Hel", "lo", ""]
            assert stream.request_id == "req-7"
        assert server.connections == 1
    assert server.requests[0].json == {"model": "m", "messages": MESSAGES, "stream": True}


def test_single_bytes_make_the_same_stream(chat: Chat) -> None:
    data = b"".join(GOOD)
    with serving(streaming(data[i : i + 1] for i in range(len(data)))) as server:
        assert chat(server.url) == ["Hel", "lo", ""]


def test_server_that_keeps_the_connection_open_after_done_holds_nobody_up(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + b"".join(map(chunked, GOOD)))
        assert connection.is_left()

    with serving(script) as server:
        assert chat(server.url) == ["Hel", "lo", ""]


def test_client_of_the_users_own_streams_too_and_waits_for_nothing_after_done() -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + b"".join(map(chunked, GOOD)))
        assert connection.is_left()

    with serving(script) as server, httpx.Client() as http_client:
        assert chat_sync(server.url, http_client=http_client) == ["Hel", "lo", ""]


def flood_of_comments(connection: Connection) -> None:
    connection.receive()
    connection.send(STREAM_HEAD)
    comments = chunked(b": still here\n\n") * 1000
    while True:
        connection.send(comments)


def test_flood_of_comments_moves_no_deadline(chat: Chat) -> None:
    with serving(flood_of_comments) as server, pytest.raises(errors.APITimeoutError) as caught:
        chat(server.url, timeout=Timeout(first_token=0.2))
    assert caught.value.deadline == "first_token"


def reset_mid_stream(connection: Connection) -> None:
    connection.receive()
    connection.send(STREAM_HEAD + chunked(GOOD[0]))
    connection.reset()


BROKEN: dict[str, tuple[Script, type[errors.APIError]]] = {
    "clean end of the body": (streaming(GOOD[:2]), errors.StreamTruncatedError),
    "only [DONE]": (streaming([GOOD[0], DONE]), errors.StreamTruncatedError),
    "half a frame": (streaming([GOOD[0], GOOD[1][:20]]), errors.StreamTruncatedError),
    "hang-up inside the chunked body": (streaming(GOOD[:1], end=b""), errors.StreamInterruptedError),
    "garbage for a chunk size": (streaming(GOOD[:1], end=b"zz\r\n"), errors.StreamInterruptedError),
    "error event": (
        streaming([GOOD[0], b'data: {"error":{"code":500}}\n\n', DONE]),
        errors.InternalServerError,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_stream_raises_with_what_was_said(chat: Chat, case: str) -> None:
    if chat is chat_aiohttp and case == "garbage for a chunk size":
        pytest.skip("depends on packets; see test_aiohttp")
    script, expected = BROKEN[case]
    with serving(script) as server, pytest.raises(expected) as caught:
        chat(server.url, max_retries=3)
    assert type(caught.value) is expected
    assert (caught.value.partial_text or "").startswith("Hel")
    assert caught.value.request_id == "req-7"
    assert len(server.requests) == 1


def test_reset_mid_stream_is_an_interruption(chat: Chat) -> None:
    with serving(reset_mid_stream) as server, pytest.raises(errors.StreamInterruptedError):
        chat(server.url)


def test_answer_that_is_no_stream_raises_before_the_first_event(chat: Chat) -> None:
    with (
        serving(answering(reply(b"<html>", kind="text/html"))) as server,
        pytest.raises(errors.APIResponseValidationError, match=r"not a stream of events \(text/html\)"),
    ):
        chat(server.url)


def test_error_object_with_status_200_raises_the_typed_error(chat: Chat) -> None:
    with (
        serving(answering(reply(b'{"error": {"message": "m", "code": 404}}'))) as server,
        pytest.raises(errors.NotFoundError),
    ):
        chat(server.url)


def test_status_before_the_stream_is_retried(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        if connection.number == 0:
            connection.send(reply(b"{}", 503, "retry-after: 0", "connection: close"))
        else:
            connection.send(STREAM_HEAD + b"".join(map(chunked, GOOD)) + chunked(b""))

    with serving(script) as server:
        assert chat(server.url, max_retries=1) == ["Hel", "lo", ""]


def comments_after(*events: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD)
        for event in events:
            connection.send(chunked(event))
        while not connection.is_left(within_s=0.02):
            connection.send(chunked(b": still here\n\n"))

    return script


@pytest.mark.parametrize(
    ("timeout", "events", "deadline"),
    [
        (Timeout(first_token=0.2), [], "first_token"),
        (Timeout(first_token=9, inter_token=0.2), GOOD[:2], "inter_token"),
        (Timeout(total=0.3), GOOD[:2], "total"),
    ],
)
def test_comments_move_no_deadline(chat: Chat, timeout: Timeout, events: list[bytes], deadline: str) -> None:
    with serving(comments_after(*events)) as server, pytest.raises(errors.APITimeoutError) as caught:
        chat(server.url, timeout=timeout)
    assert caught.value.deadline == deadline
    assert caught.value.partial_text == ("Hello" if events else "")


def test_silence_passes_the_inter_token_deadline(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + chunked(GOOD[0]))
        connection.is_left()

    with serving(script) as server, pytest.raises(errors.APITimeoutError) as caught:
        chat(server.url, timeout=Timeout(inter_token=0.15))
    assert caught.value.deadline == "inter_token"


def test_first_token_deadline_counts_the_wait_for_the_headers(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.is_left()

    with serving(script) as server, pytest.raises(errors.APITimeoutError) as caught:
        chat(server.url, timeout=Timeout(first_token=0.15), max_retries=2)
    assert caught.value.deadline == "first_token"
    assert len(server.requests) == 1


def endless(connection: Connection) -> None:
    connection.receive()
    connection.send(STREAM_HEAD)
    connection.sock.settimeout(5)
    while not connection.is_left(within_s=0.001):
        connection.send(chunked(chat_event("x")))
    left.append(connection.number)


left: list[int] = []


@pytest.fixture
def left_server() -> Iterator[str]:
    left.clear()
    with serving(endless) as server:
        yield server.url
    assert left == [0]


def test_leaving_with_closes_the_connection(left_server: str) -> None:
    with LMaaS(base_url=left_server) as client:
        with client.chat.completions.create(messages=MESSAGES, model="m", stream=True) as stream:
            assert text_of(next(stream)) == "x"
        with pytest.raises(errors.StreamCancelledError) as caught:
            next(stream)
    assert caught.value.partial_text == "x"


def test_closing_a_stream_that_was_never_read_closes_the_connection(left_server: str) -> None:
    with LMaaS(base_url=left_server) as client:
        client.chat.completions.create(messages=MESSAGES, model="m", stream=True).close()


async def test_leaving_async_with_closes_the_connection(left_server: str) -> None:
    async with AsyncLMaaS(base_url=left_server) as client:
        async with await client.chat.completions.create(messages=MESSAGES, model="m", stream=True) as stream:
            assert text_of(await anext(stream)) == "x"
        with pytest.raises(errors.StreamCancelledError) as caught:
            await anext(stream)
    assert caught.value.partial_text == "x"


async def test_cancelling_the_reader_closes_the_connection(left_server: str) -> None:
    started = asyncio.Event()

    async def consume(stream: AsyncStream[ChatCompletionChunk]) -> None:
        async for _ in stream:
            started.set()

    async with AsyncLMaaS(base_url=left_server) as client:
        stream = await client.chat.completions.create(messages=MESSAGES, model="m", stream=True)
        task = asyncio.create_task(consume(stream))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_text_completions_stream_the_same_way() -> None:
    def event(text: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "finish_reason": finish}
        chunk = {"id": "c", "created": 1, "model": "m", "choices": [choice]}
        return f"data: {json.dumps(chunk)}\n\n".encode()

    with (
        serving(streaming([event("a"), event("b", "stop"), DONE])) as server,
        LMaaS(base_url=server.url) as client,
    ):
        stream = client.completions.create(model="m", prompt="p", stream=True)
        assert isinstance(stream, Stream)
        assert [chunk.choices[0].text for chunk in stream] == ["a", "b"]
    with (
        serving(streaming([event("a"), DONE])) as server,
        LMaaS(base_url=server.url) as client,
        pytest.raises(errors.StreamTruncatedError) as caught,
    ):
        list(client.completions.create(model="m", prompt="p", stream=True))
    assert caught.value.partial_text == "a"


def test_stream_without_content_type_is_read_all_the_same(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(head(200) + b"".join(GOOD))
        connection.sock.shutdown(socket.SHUT_RDWR)

    with serving(script) as server:
        assert chat(server.url) == ["Hel", "lo", ""]
