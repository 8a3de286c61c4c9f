from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import pytest

from lmaas import AsyncLMaaS, DefaultAioHttpClient, LMaaS, errors
from sdk.hostile import STREAM_HEAD, Connection, Script, answering, chat_event, chunked, reply, serving

KEY, HEADER, QUERY, PROMPT = "CANARY-key", "CANARY-header", "CANARY-query", "CANARY-prompt"
OPTIONS: dict[str, Any] = {
    "api_key": KEY,
    "default_headers": {"x-api-key": HEADER},
    "default_query": {"key": QUERY},
    "max_retries": 1,
    "timeout": 0.3,
}
MESSAGES = [{"role": "user", "content": PROMPT}]
Chat: TypeAlias = Callable[[str], None]


def chat_sync(url: str) -> None:
    with (
        LMaaS(base_url=url, **OPTIONS) as client,
        client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream,
    ):
        list(stream)


def chat_async(url: str, http_client: DefaultAioHttpClient | None = None) -> None:
    async def chat() -> None:
        async with AsyncLMaaS(base_url=url, http_client=http_client, **OPTIONS) as client:
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            async for _ in stream:
                pass

    asyncio.run(chat())


def chat_aiohttp(url: str) -> None:
    chat_async(url, DefaultAioHttpClient())


@pytest.fixture(params=[chat_sync, chat_async, chat_aiohttp])
def chat(request: pytest.FixtureRequest) -> Chat:
    return cast("Chat", request.param)


def echo(connection: Connection) -> None:
    request = connection.receive()
    assert request is not None
    connection.send(reply(b"<pre>" + request.headers["authorization"].encode(), 401))


def silent(connection: Connection) -> None:
    connection.receive()
    connection.is_left()


def hang_up(connection: Connection) -> None:
    connection.receive()


def not_http(connection: Connection) -> None:
    connection.receive()
    connection.send(b"SSH-2.0-OpenSSH\r\n")


def cut(connection: Connection) -> None:
    connection.receive()
    connection.send(STREAM_HEAD + chunked(chat_event("x")))


FAILURES: dict[str, Script] = {
    "echo": echo,
    "silent": silent,
    "hang-up": hang_up,
    "no HTTP": not_http,
    "cut": cut,
    "HTML": answering(reply(b"<html>")),
    "error": answering(reply(b'{"error": {"message": "no"}}', 500, "retry-after-ms: 0")),
}


def chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or link in seen:
            continue
        seen.append(link)
        waiting += [link.__cause__, link.__context__]
        yield link


def all_it_holds(error: BaseException) -> str:
    """Return what a logger, or a collector of errors that looks into attributes, would show."""
    shown = [*traceback.format_exception(error), str(error), repr(error)]
    for link in chain(error):
        shown += [repr(link.args), repr(vars(link))]
        request = vars(link).get("_request")
        shown.append(repr(request and (request.url, dict(request.headers), request.read())))
    return "\n".join(shown)


@pytest.mark.parametrize("failure", FAILURES)
def test_no_secret_and_no_prompt_in_an_error_its_causes_or_the_log(
    chat: Chat, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lmaas")
    with serving(FAILURES[failure]) as server, pytest.raises(errors.APIError) as caught:
        chat(server.url)
    assert "CANARY" not in all_it_holds(caught.value)
    assert "CANARY" not in "".join(r.getMessage() for r in caplog.records if r.name == "lmaas")
    again = copy.copy(caught.value)
    assert (type(again), vars(again)) == (type(caught.value), vars(caught.value))
    assert "CANARY" not in repr(pickle.dumps(caught.value))


def test_no_secret_where_nothing_listens(chat: Chat) -> None:
    with pytest.raises(errors.APIConnectionError) as caught:
        chat("http://127.0.0.1:1")
    assert "CANARY" not in all_it_holds(caught.value)


def test_no_secret_in_the_repr_of_anything() -> None:
    with LMaaS(base_url="http://h", **OPTIONS) as client:
        assert "CANARY" not in repr([client, client._options, vars(client)])
        request = client._caller._builder.build(_operation(), {"extra_headers": {"x": HEADER}}, {"a": PROMPT})
    assert "CANARY-key" not in repr(request)
    assert "CANARY-prompt" not in repr(request)
    assert "CANARY-header" not in repr(request)


def _operation() -> Any:
    from lmaas._request import Operation  # noqa: PLC0415 - one test's

    return Operation("POST", "/x")
