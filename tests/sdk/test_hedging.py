from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import httpx
import pytest

from lmaas import AsyncLMaaS, ConfigurationError, DefaultAioHttpClient, LMaaS, Timeout, errors
from lmaas._hedging import is_pure, twin_of
from lmaas._request import Request
from lmaas._timer import Timer
from sdk.hostile import CHAT_BODY, STREAM_HEAD, Connection, chat_event, chunked, reply, serving

MESSAGES = [{"role": "user", "content": "hi"}]
Chat: TypeAlias = Callable[..., Any]


def chat_sync(url: str, *, stream: bool = False, **options: Any) -> Any:
    with LMaaS(base_url=url, **{"max_retries": 0, "hedge_after_s": 0.05, **options}) as client:
        answer = client.chat.completions.create(messages=MESSAGES, model="m", stream=stream, timeout=5)
        return len(list(answer)) if stream else answer


def chat_async(url: str, *, stream: bool = False, **options: Any) -> Any:
    async def chat() -> Any:
        async with AsyncLMaaS(base_url=url, **{"max_retries": 0, "hedge_after_s": 0.05, **options}) as client:
            answer: Any = await client.chat.completions.create(
                messages=MESSAGES, model="m", stream=stream, timeout=5
            )
            return len([chunk async for chunk in answer]) if stream else answer

    return asyncio.run(chat())


def chat_aiohttp(url: str, **options: Any) -> Any:
    return chat_async(url, http_client=DefaultAioHttpClient(), **options)


@pytest.fixture(params=[chat_sync, chat_async, chat_aiohttp])
def chat(request: pytest.FixtureRequest) -> Chat:
    return cast("Chat", request.param)


class Slow:
    """Lets the first request hang until its client leaves, and answers the others."""

    def __init__(self, answer: bytes = reply(CHAT_BODY)) -> None:
        self.answer = answer
        self.left = threading.Event()

    def __call__(self, connection: Connection) -> None:
        connection.receive()
        if connection.number == 0:
            if connection.is_left(within_s=10):
                self.left.set()
        else:
            connection.send(self.answer)


def test_slow_call_is_answered_by_its_twin_and_the_loser_is_left(chat: Chat) -> None:
    script = Slow()
    with serving(script) as server:
        started = time.monotonic()
        assert chat(server.url).choices[0].message.content == "Hi."
        assert time.monotonic() - started < 5
        assert script.left.wait(10)
    first, second = (request.headers["idempotency-key"] for request in server.requests)
    assert second == f"{first}-hedge"
    assert server.requests[0].body == server.requests[1].body


def test_slow_stream_is_hedged_before_its_head(chat: Chat) -> None:
    events = [chat_event("Hi."), chat_event(finish="stop"), b"data: [DONE]\n\n", b""]
    script = Slow(STREAM_HEAD + b"".join(map(chunked, events)))
    with serving(script) as server:
        assert chat(server.url, stream=True) == 2
        assert script.left.wait(10)


def test_stream_that_has_begun_is_never_sent_again(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD)
        time.sleep(0.2)
        for event in [chat_event("Hi."), chat_event(finish="stop"), b"data: [DONE]\n\n", b""]:
            connection.send(chunked(event))

    with serving(script) as server:
        assert chat(server.url, stream=True) == 2
        assert len(server.requests) == 1


def test_quick_call_is_sent_once(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(reply(CHAT_BODY))

    with serving(script) as server:
        chat(server.url, hedge_after_s=3)
        assert len(server.requests) == 1


def test_error_of_the_twin_that_may_pass_waits_for_the_first(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        if connection.number == 0:
            time.sleep(0.2)
            connection.send(reply(CHAT_BODY))
        else:
            connection.send(reply(b"{}", 503))

    with serving(script) as server:
        assert chat(server.url).choices[0].message.content == "Hi."


def test_error_that_will_not_pass_is_raised_at_once(chat: Chat) -> None:
    script = Slow(reply(b"{}", 400))
    with serving(script) as server, pytest.raises(errors.BadRequestError):
        chat(server.url)
    assert script.left.is_set()


def test_both_failing_is_the_failure_of_the_call(chat: Chat) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        time.sleep(0.15)
        connection.send(reply(b"{}", 503))

    with serving(script) as server, pytest.raises(errors.ServiceUnavailableError):
        chat(server.url)
    assert len(server.requests) == 2


def test_hedges_come_out_of_the_retry_budget() -> None:
    def script(connection: Connection) -> None:
        while connection.receive() is not None:
            time.sleep(0.03)
            connection.send(reply(CHAT_BODY))

    with serving(script) as server, LMaaS(base_url=server.url, hedge_after_s=0.001) as client:
        for _ in range(20):
            client.chat.completions.create(messages=MESSAGES, model="m")
        assert len(server.requests) <= 30


async def test_cancelling_the_call_leaves_both() -> None:
    left: list[bool] = []
    begun = threading.Semaphore(0)

    def script(connection: Connection) -> None:
        connection.receive()
        begun.release()
        left.append(connection.is_left(within_s=10))

    with serving(script) as server:
        async with AsyncLMaaS(base_url=server.url, hedge_after_s=0.01) as client:
            task = asyncio.create_task(client.chat.completions.create(messages=MESSAGES, model="m"))
            for _ in range(2):
                await asyncio.to_thread(begun.acquire)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert left == [True, True]


def test_client_of_the_users_own_closes_the_loser_when_it_answers() -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        if connection.number == 0:
            time.sleep(0.3)
        connection.send(reply(CHAT_BODY))

    with serving(script) as server, httpx.Client() as http_client:
        assert chat_sync(server.url, http_client=http_client).choices[0].message.content == "Hi."
        assert server.connections == 2


def request(method: str, path: str) -> Request:
    timer = Timer(Timeout(), lambda: 0.0, is_stream=False)
    return Request(method, f"http://h/v1{path}", timer)


@pytest.mark.parametrize(
    ("method", "path", "pure"),
    [
        ("GET", "/models", True),
        ("POST", "/chat/completions", True),
        ("POST", "/embeddings?x=1", True),
        ("POST", "/files", False),
        ("POST", "/batches", False),
        ("POST", "/responses", False),
        ("DELETE", "/files/f", False),
    ],
)
def test_only_calls_that_change_nothing_are_hedged(method: str, path: str, *, pure: bool) -> None:
    assert is_pure(request(method, path)) is pure


def test_twin_has_a_timer_of_its_own() -> None:
    one = request("GET", "/models")
    other = twin_of(one)
    other.timer.cancel()
    assert other.timer.is_over()
    assert not one.timer.is_over()


@pytest.mark.parametrize("chat_file", [LMaaS, AsyncLMaaS])
def test_wait_that_is_no_time_is_refused(chat_file: type[LMaaS | AsyncLMaaS]) -> None:
    with pytest.raises(ConfigurationError, match="hedge_after_s is 0"):
        chat_file(hedge_after_s=0)


def test_call_that_is_not_pure_goes_straight_through() -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(reply(b"{}", 418))

    with (
        serving(script) as server,
        LMaaS(base_url=server.url, hedge_after_s=0.01) as client,
        pytest.raises(errors.APIStatusError),
    ):
        client.responses.create(model="m", input="x")
