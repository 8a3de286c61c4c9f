from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from typing import Any, cast

import aiohttp
import pytest

from lmaas import AsyncLMaaS, ConfigurationError, DefaultAioHttpClient, errors
from sdk.hostile import (
    CHAT_BODY,
    DONE,
    STREAM_HEAD,
    Connection,
    answering,
    chat_event,
    chunked,
    reply,
    serving,
    streaming,
)

MODEL = reply(b'{"id": "m"}')


async def test_client_closes_the_aiohttp_client_that_it_was_given() -> None:
    http_client = DefaultAioHttpClient()
    with serving(answering(MODEL)) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=http_client) as client:
            for _ in range(3):
                await client.models.retrieve("m")
            assert (await client.with_options(timeout=3).models.retrieve("m")).id == "m"
        assert server.connections == 1
    with pytest.raises(RuntimeError, match="has been closed"):
        await client.models.retrieve("m")
    await http_client.close()


async def test_session_of_the_users_own_keeps_its_headers_and_stays_open() -> None:
    with serving(answering(MODEL)) as server:
        async with aiohttp.ClientSession(headers={"x-mine": "1"}) as session:
            for _ in range(2):
                async with AsyncLMaaS(base_url=server.url, http_client=session) as client:
                    await client.models.retrieve("m")
            assert not session.closed
        assert [request.headers["x-mine"] for request in server.requests] == ["1", "1"]


async def test_what_is_sent_is_what_httpx_would_send() -> None:
    sent = []
    with serving(answering(reply(CHAT_BODY))) as server:
        for http_client in (None, DefaultAioHttpClient()):
            async with AsyncLMaaS(base_url=server.url, api_key="k", http_client=http_client) as client:
                await client.chat.completions.create(
                    model="m", messages=[], extra_query={"a": "b c"}, extra_headers={"Idempotency-Key": "i"}
                )
        sent = server.requests
    ours, theirs = ({**request.headers, "connection": ""} for request in sent)
    assert (sent[0].line, sent[0].body, ours) == (sent[1].line, sent[1].body, theirs)


async def test_certificates_are_checked() -> None:
    with serving(answering(MODEL)) as server:
        url = server.url.replace("http:", "https:")
        http_client = DefaultAioHttpClient()
        async with AsyncLMaaS(base_url=url, http_client=http_client, max_retries=0) as client:
            with pytest.raises(errors.APIConnectionError, match="No connection to https:"):
                await client.models.retrieve("m")


@pytest.mark.parametrize("http_client", [lambda: None, DefaultAioHttpClient])
async def test_request_that_cannot_be_sent_is_not_tried_again(http_client: Any) -> None:
    with serving(answering(MODEL)) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=http_client()) as client:
            with pytest.raises(errors.APIConnectionError) as caught:
                await client.models.retrieve("m", extra_headers={"x": "a\nb"})
    assert (caught.value.tries, caught.value.is_retryable) == (1, False)


async def test_replies_leave_nothing_behind_on_their_connection() -> None:
    with serving(answering(reply(CHAT_BODY))) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=DefaultAioHttpClient()) as client:
            for _ in range(20):
                await client.chat.completions.create(model="m", messages=[])
            gc.collect()
            kept = [found for found in gc.get_objects() if type(found).__name__ == "AioHttpReply"]
            assert len(kept) <= 1


async def test_fifty_streams_at_once_are_all_whole() -> None:
    with serving(streaming([chat_event("x"), chat_event(finish="stop"), DONE])) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=DefaultAioHttpClient()) as client:

            async def count() -> int:
                stream = await client.chat.completions.create(model="m", messages=[], stream=True)
                return len([chunk async for chunk in stream])

            assert await asyncio.gather(*(count() for _ in range(50))) == [2] * 50


async def test_garbage_in_place_of_a_chunk_is_an_error_and_no_endless_wait() -> None:
    # In one packet with the head it is no reply at all, after it an interrupted stream.
    with serving(streaming([chat_event("x")], end=b"zz\r\n")) as server:
        http_client = DefaultAioHttpClient()
        async with AsyncLMaaS(base_url=server.url, http_client=http_client, max_retries=0) as client:

            async def chat() -> None:
                stream = await client.chat.completions.create(model="m", messages=[], stream=True)
                async for _ in stream:
                    pass

            with pytest.raises((errors.StreamInterruptedError, errors.APIConnectionError)) as caught:
                await chat()
    assert not isinstance(caught.value, errors.APITimeoutError)


async def test_reader_is_woken_when_garbage_comes_after_the_first_chunk() -> None:
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + chunked(chat_event("x")))
        go_on.wait(5)
        connection.send(b"zz\r\n")
        connection.is_left()

    with serving(script) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=DefaultAioHttpClient()) as client:
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            assert (await anext(stream)).choices[0].delta.content == "x"
            go_on.set()
            with pytest.raises(errors.StreamInterruptedError) as caught:
                await anext(stream)
    assert caught.value.partial_text == "x"


def test_aiohttp_is_not_imported_until_a_client_of_it_is_made() -> None:
    code = (
        "import sys, lmaas; lmaas.AsyncLMaaS(); assert 'aiohttp' not in sys.modules;"
        "lmaas.DefaultAioHttpClient(); assert 'aiohttp' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_aiohttp_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"pip install lmaas\[aiohttp\]"):
        DefaultAioHttpClient()


def test_synchronous_client_takes_none_of_it() -> None:
    from lmaas import LMaaS  # noqa: PLC0415 - one test's

    with pytest.raises(ConfigurationError, match=r"takes httpx\.Client"):
        LMaaS(http_client=cast("Any", DefaultAioHttpClient()))
