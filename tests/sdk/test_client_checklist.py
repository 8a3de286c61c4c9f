"""What programs written for OpenAI's own client expect of any client, in our words.

The rule: a behaviour on this list is proved by exactly one place. Where a neighbour proves it already, it has
a line in `CHECKLIST`; all the others are the tests below, each over real sockets.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, cast

import httpx
import pytest

from lmaas import AsyncLMaaS, AsyncStream, DefaultAioHttpClient, LMaaS, Stream, errors
from lmaas.types import ChatCompletion, ChatCompletionChunk
from sdk.hostile import (
    CHAT_BODY,
    DONE,
    STREAM_HEAD,
    Connection,
    answering,
    chat_event,
    chunked,
    head,
    reply,
    serving,
    streaming,
)

CHECKLIST = {
    "test_client.py": {
        "argument over environment": "test_environment_says_where_and_as_whom_unless_told",
        "key: environment, or None for none": "test_key_of_the_environment_is_sent_unless_told",
        "copies share": "test_client_of_other_options_shares_connections_and_leaves_them_open",
        "a copy has its own timeout and retries": "test_client_tells_its_options",
        "one client serves many threads": "test_one_client_serves_many_threads",
        "a closed client refuses": "test_closed_client_says_so",
    },
    "test_options.py": {
        "slash or none at the end of base_url": "test_base_url_works_with_and_without_slash_and_version",
        "forms of a timeout": "test_timeout_is_read_from_all_that_users_give",
        "httpx.Timeout": "test_timeout_of_httpx_bounds_whole_replies_and_waits_within_streams",
    },
    "test_request.py": {
        "a client without a key works and sends none": "test_call_without_key_sends_none",
        "extra_body is merged, unknown fields and all": "test_extra_body_is_merged_last_and_wins",
        "keys of calls differ": "test_each_call_has_an_idempotency_key_of_its_own_unless_given",
    },
    "test_transport.py": {
        "no reply yet: tried again": "test_connection_that_broke_before_a_reply_is_made_again",
        "reply begun: not tried again": "test_no_retry_once_a_body_has_begun",
        "body that is cut off, bytes that are not HTTP": "test_connection_that_breaks_is_a_connection_error",
        "gzip": "test_compressed_reply_is_understood_and_a_broken_one_is_not_retried",
        "a success that is not JSON is a typed error": "test_success_that_is_not_the_api_is_a_typed_error",
    },
    "test_retry.py": {
        "what may pass is retried": "test_failure_that_may_pass_is_tried_again",
        "others are raised, and too long a wait": "test_failure_that_will_not_pass_is_raised_at_once",
        "waits grow, up to a cap, with jitter": "test_wait_doubles_up_to_its_cap_with_full_jitter",
        "the wait is the one that the server asked for": "test_server_says_how_long_to_wait",
    },
    "test_failures.py": {
        "Retry-After in all forms, garbage and huge too": "test_retry_after_is_read_in_each_form",
        "the message of an error is found in each dialect": "test_message_is_found_in_each_dialect",
    },
    "test_types.py": {"unknown fields of replies": "test_fields_unknown_here_are_kept_and_sent_back"},
    "test_streaming.py": {
        "left `with`": "test_leaving_with_closes_the_connection",
        "left `async with`": "test_leaving_async_with_closes_the_connection",
    },
}

MESSAGES = [{"role": "user", "content": "hi"}]
GOOD = reply(CHAT_BODY, 200, "connection: close")  # leaves nothing open in an http_client of one's own
FAULT = b'{"error": {"message": "busy", "code": "replica_busy", "type": "server_error"}}'
BUSY = reply(FAULT, 503, "retry-after-ms: 1", "x-request-id: r")
WHOLE = chat_event("Hi.") + chat_event(finish="stop") + DONE


@pytest.mark.parametrize("module", CHECKLIST)
def test_each_test_that_the_checklist_names_exists(module: str) -> None:
    body = ast.parse(Path(__file__).with_name(module).read_text()).body
    found = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not set(CHECKLIST[module].values()) - found


Given: TypeAlias = Mapping[str, Any]
NONE: Given = MappingProxyType({})


class Ask(Protocol):
    """One kind of client, as a function: a client of `options`, a copy with `changes`, a call."""

    def __call__(self, url: str, options: Given = ..., changes: Given = ..., **params: Any) -> str: ...


def text_of(answer: ChatCompletion | list[ChatCompletionChunk]) -> str:
    if isinstance(answer, list):
        return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)
    return answer.choices[0].message.content or ""


def ask_sync(url: str, options: Given = NONE, changes: Given = NONE, **params: Any) -> str:
    with LMaaS(**{"base_url": url, "max_retries": 0, **options}) as client:
        create: Any = client.with_options(**cast("Any", changes)).chat.completions.create
        answer = create(model="m", messages=MESSAGES, **params)
        return text_of(list(answer) if isinstance(answer, Stream) else answer)


def ask_async(url: str, options: Given = NONE, changes: Given = NONE, **params: Any) -> str:
    async def ask() -> str:
        async with AsyncLMaaS(**{"base_url": url, "max_retries": 0, **options}) as client:
            create: Any = client.with_options(**cast("Any", changes)).chat.completions.create
            answer = await create(model="m", messages=MESSAGES, **params)
            return text_of([chunk async for chunk in answer] if isinstance(answer, AsyncStream) else answer)

    return asyncio.run(ask())


def ask_aiohttp(url: str, options: Given = NONE, changes: Given = NONE, **params: Any) -> str:
    return ask_async(url, {"http_client": DefaultAioHttpClient(), **options}, changes, **params)


@pytest.fixture(params=[ask_sync, ask_async, ask_aiohttp])
def ask(request: pytest.FixtureRequest) -> Ask:
    return cast("Ask", request.param)


def after(seconds: float, answer: bytes) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        connection.receive()
        time.sleep(seconds)
        connection.send(answer)

    return script


def test_copy_keeps_what_it_is_not_told_and_adds_headers_and_query(ask: Ask) -> None:
    options = {"api_key": "k", "default_headers": {"X-A": "1", "x-b": "1"}, "default_query": {"p": 1, "q": 1}}
    changes = {"default_headers": {"x-a": "2", "x-c": "2"}, "default_query": {"q": 2}}
    with serving(answering(GOOD)) as server:
        for changed in ({}, changes):
            assert ask(server.url, options, changed) == "Hi."
        first, second = server.requests
    assert first.line.split()[1] == "/v1/chat/completions?p=1&q=1"
    assert second.line.split()[1] == "/v1/chat/completions?p=1&q=2"
    assert [first.headers.get(name) for name in ("x-a", "x-b", "x-c")] == ["1", "1", None]
    assert [second.headers.get(name) for name in ("x-a", "x-b", "x-c")] == ["2", "1", "2"]
    assert second.headers["authorization"] == "Bearer k"


def test_call_overrides_headers_and_query_for_itself_alone() -> None:
    with (
        serving(answering(GOOD)) as server,
        LMaaS(base_url=server.url, default_headers={"x-a": "1"}, default_query={"p": 1, "q": 1}) as client,
    ):
        create = client.chat.completions.create
        create(model="m", messages=MESSAGES, extra_headers={"X-A": "2"}, extra_query={"q": [2, 3]})
        create(model="m", messages=MESSAGES)
    lines = [request.line.split()[1].partition("?")[2] for request in server.requests]
    assert lines == ["p=1&q=2&q=3", "p=1&q=1"]
    assert [request.headers["x-a"] for request in server.requests] == ["2", "1"]


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/"])
def test_route_is_joined_to_the_whole_path_of_base_url(ask: Ask, path: str) -> None:
    with serving(answering(GOOD)) as server:
        ask(server.url + path)
        ask("http://elsewhere.invalid/v1", {}, {"base_url": server.url + path})
    assert {request.line for request in server.requests} == {"POST /api/v2/chat/completions HTTP/1.1"}
    assert len(server.requests) == 2


def test_timeout_of_a_call_beats_that_of_the_client_both_ways(ask: Ask) -> None:
    with serving(after(0.2, GOOD)) as server:
        for timeout in (None, 5):
            assert ask(server.url, {"timeout": 0.05}, timeout=timeout) == "Hi."
        for options, changes, params in (
            ({"timeout": 0.05}, {}, {}),
            ({}, {"timeout": 0.05}, {}),
            ({"timeout": None}, {}, {"timeout": 0.05}),
        ):
            with pytest.raises(errors.APITimeoutError, match=r"within 0\.05 s"):
                ask(server.url, options, changes, **params)


@pytest.mark.parametrize(("ask", "kind"), [(ask_sync, httpx.Client), (ask_async, httpx.AsyncClient)])
def test_given_timeout_beats_that_of_ones_own_http_client(
    ask: Ask, kind: type[httpx.Client | httpx.AsyncClient]
) -> None:
    with serving(after(0.15, GOOD)) as server:
        http_client = kind(timeout=0.02, headers={"x-mine": "1", "user-agent": "mine"})
        assert ask(server.url, {"http_client": http_client, "timeout": 5}) == "Hi."
    headers = server.requests[0].headers
    assert headers["x-mine"] == "1"
    assert headers["user-agent"].startswith("lmaas-python/")
    assert not http_client.is_closed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True])
def test_redirect_is_refused_and_names_its_status(ask: Ask, status: int, *, stream: bool) -> None:
    with (
        serving(answering(GOOD)) as other,
        serving(answering(reply(b"", status, f"location: {other.url}/v1/x"))) as server,
        pytest.raises(errors.APIStatusError, match=str(status)) as caught,
    ):
        ask(server.url, {"api_key": "k", "max_retries": 2}, stream=stream)
    assert caught.value.status_code == status
    assert (len(server.requests), other.requests) == (1, [])


@pytest.mark.parametrize(("ask", "kind"), [(ask_sync, httpx.Client), (ask_async, httpx.AsyncClient)])
def test_http_client_that_follows_redirects_takes_no_key_to_another_host(
    ask: Ask, kind: type[httpx.Client | httpx.AsyncClient]
) -> None:
    with (
        serving(answering(GOOD)) as other,
        serving(answering(reply(b"", 307, f"location: {other.url}/v1/x", "connection: close"))) as server,
    ):
        assert ask(server.url, {"api_key": "k", "http_client": kind(follow_redirects=True)}) == "Hi."
    assert server.requests[0].headers["authorization"] == "Bearer k"
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_tries_are_counted_on_the_wire_and_in_the_last_error(ask: Ask, retries: int, *, stream: bool) -> None:
    last = BUSY.replace(b"busy", b"last", 1).replace(b"x-request-id: r", b"x-request-id: z")
    with (
        serving(answering(*[BUSY] * retries, last)) as server,
        pytest.raises(errors.ServiceUnavailableError, match="last") as caught,
    ):
        ask(server.url, {"max_retries": 9}, {"max_retries": retries}, stream=stream)
    counts = [request.headers.get("x-retry-count") for request in server.requests]
    assert counts == [None, *map(str, range(1, retries + 1))]
    error = caught.value
    assert (error.status_code, error.code, error.type) == (503, "replica_busy", "server_error")
    assert (error.request_id, error.retry_after_s, error.tries) == ("z", 0.001, retries + 1)


def test_given_idempotency_key_is_that_of_each_try(ask: Ask) -> None:
    with serving(answering(BUSY, BUSY, GOOD)) as server:
        ask(server.url, {"max_retries": 2}, extra_headers={"Idempotency-Key": "mine"})
    assert [request.headers["idempotency-key"] for request in server.requests] == ["mine"] * 3


def test_stream_that_has_begun_is_not_retried(ask: Ask) -> None:
    with serving(streaming([chat_event("Hi")], end=b"")) as server, pytest.raises(errors.StreamError):
        ask(server.url, {"max_retries": 3}, stream=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "excess"), [(CHAT_BODY, 9), (CHAT_BODY, -9), (WHOLE[: -len(DONE)], 9), (WHOLE, -len(DONE))]
)
def test_content_length_that_is_wrong_is_a_typed_error(ask: Ask, body: bytes, excess: int) -> None:
    stream = body is not CHAT_BODY
    kind = "text/event-stream" if stream else "application/json"

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(head(200, f"content-type: {kind}", f"content-length: {len(body) + excess}") + body)

    with serving(script) as server, pytest.raises(errors.APIError) as caught:
        ask(server.url, stream=stream)
    # aiohttp takes bytes after the end for a second reply, and refuses both.
    assert excess < 0 or caught.value.partial_text == ("Hi." if stream else None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"", b"<html>down</html>", b"[1]", b'"down"', b"null", b'{"error": null}'])
def test_error_whose_body_is_no_error_object_still_has_its_class(
    ask: Ask, body: bytes, *, stream: bool
) -> None:
    with serving(answering(reply(body, 502))) as server, pytest.raises(errors.BadGatewayError) as caught:
        ask(server.url, stream=stream)
    assert "502" in caught.value.message
    assert caught.value.body == body.decode()


Left: TypeAlias = tuple[str, "queue.Queue[bool]"]


@pytest.fixture
def left() -> Iterator[Left]:
    """The URL of a server that says one word and waits, and whether its client then left."""
    answers: queue.Queue[bool] = queue.Queue()

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + chunked(chat_event("Hi")))
        answers.put(connection.is_left())

    with serving(script) as server:
        yield server.url, answers


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_stream_whose_loop_is_left_is_closed(left: Left, *, is_forgotten: bool) -> None:
    url, answers = left
    with LMaaS(base_url=url) as client:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        if is_forgotten:
            next(stream)
            del stream
            gc.collect()
        else:
            with suppress(ZeroDivisionError), stream:
                for _ in stream:
                    raise ZeroDivisionError
        assert answers.get(timeout=5)


@pytest.mark.parametrize("is_forgotten", [True, False])
@pytest.mark.parametrize("http_client", [lambda: None, DefaultAioHttpClient])
async def test_asynchronous_stream_whose_loop_is_left_is_closed(
    left: Left, http_client: Callable[[], Any], *, is_forgotten: bool
) -> None:
    url, answers = left
    async with AsyncLMaaS(base_url=url, http_client=http_client()) as client:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        if is_forgotten:
            await anext(stream)
            del stream
            gc.collect()
        else:
            with suppress(ZeroDivisionError):
                async with stream:
                    async for _ in stream:
                        raise ZeroDivisionError
        assert await asyncio.to_thread(answers.get, timeout=5)


@pytest.mark.parametrize("http_client", [lambda: None, DefaultAioHttpClient])
async def test_closed_asynchronous_client_refuses(http_client: Callable[[], Any]) -> None:
    client = AsyncLMaaS(base_url="http://127.0.0.1:1", http_client=http_client())
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.models.list()
