from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

import pytest

from lmaas import AsyncLMaaS, DefaultAioHttpClient, LMaaS
from sdk.hostile import STREAM_HEAD, Connection, chat_event, chunked, head, serving

MESSAGES = [{"role": "user", "content": "hi"}]


class Watched:
    """Takes a request, says something or nothing, and sees whether the client leaves."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.begun = threading.Event()
        self.left = threading.Event()

    def __call__(self, connection: Connection) -> None:
        connection.receive()
        connection.send(self.answer)
        self.begun.set()
        if connection.is_left(within_s=15):
            self.left.set()


HALF_A_BODY = head(200, "content-length: 100") + b"{"
STREAM = STREAM_HEAD + chunked(chat_event("x"))
CLIENTS = [lambda: None, DefaultAioHttpClient]


@pytest.mark.parametrize("http_client", CLIENTS, ids=["httpx", "aiohttp"])
@pytest.mark.parametrize("answer", [b"", HALF_A_BODY], ids=["before the head", "in the body"])
async def test_cancelled_task_closes_its_socket(
    http_client: Callable[[], DefaultAioHttpClient | None], answer: bytes
) -> None:
    server_side = Watched(answer)
    with serving(server_side) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=http_client()) as client:
            task = asyncio.create_task(client.chat.completions.create(model="m", messages=MESSAGES))
            await asyncio.to_thread(server_side.begun.wait, 5)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server_side.left.wait, 10)
        assert len(server.requests) == 1


@pytest.mark.parametrize("http_client", CLIENTS, ids=["httpx", "aiohttp"])
async def test_cancelled_reader_of_a_stream_closes_its_socket(
    http_client: Callable[[], DefaultAioHttpClient | None],
) -> None:
    server_side = Watched(STREAM)
    with serving(server_side) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=http_client()) as client:
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            await anext(stream)
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server_side.left.wait, 10)


async def expire(deadline: asyncio.Timeout, begun: threading.Event) -> None:
    """End the time of a call as soon as the server has it."""
    await asyncio.to_thread(begun.wait, 10)
    deadline.reschedule(asyncio.get_running_loop().time())


@pytest.mark.parametrize("http_client", CLIENTS, ids=["httpx", "aiohttp"])
async def test_timeout_of_asyncio_around_a_call_closes_its_socket(
    http_client: Callable[[], DefaultAioHttpClient | None],
) -> None:
    server_side = Watched()
    with serving(server_side) as server:
        async with AsyncLMaaS(base_url=server.url, http_client=http_client()) as client:
            deadline = asyncio.timeout(10)
            expiring = asyncio.create_task(expire(deadline, server_side.begun))
            with pytest.raises(TimeoutError):
                async with deadline:
                    await client.chat.completions.create(model="m", messages=MESSAGES)
            await expiring
            assert await asyncio.to_thread(server_side.left.wait, 10)


class Interrupt:
    """Presses Ctrl-C for the main thread once the server has the request."""

    def __init__(self, begun: threading.Event) -> None:
        self._thread = threading.Thread(target=self._press, args=(begun,))

    @staticmethod
    def _press(begun: threading.Event) -> None:
        begun.wait(5)
        threading.Event().wait(0.05)  # until the main thread is in its read
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc_info: object) -> None:
        self._thread.join()


@pytest.mark.parametrize("hedge_after_s", [None, 0.01], ids=["alone", "hedged"])
@pytest.mark.parametrize("answer", [b"", HALF_A_BODY], ids=["before the head", "in the body"])
def test_interrupt_of_a_call_closes_its_socket(answer: bytes, hedge_after_s: float | None) -> None:
    server_side = Watched(answer)
    with serving(server_side) as server, LMaaS(base_url=server.url, hedge_after_s=hedge_after_s) as client:
        with pytest.raises(KeyboardInterrupt), Interrupt(server_side.begun):
            client.chat.completions.create(model="m", messages=MESSAGES)
        assert server_side.left.wait(10)


def test_interrupt_of_a_stream_closes_its_socket() -> None:
    server_side = Watched(STREAM)
    with serving(server_side) as server, LMaaS(base_url=server.url) as client:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(KeyboardInterrupt), Interrupt(server_side.begun):
            list(stream)
        assert server_side.left.wait(10)


def test_generator_that_is_closed_closes_the_socket_of_its_stream() -> None:
    server_side = Watched(STREAM)
    with serving(server_side) as server, LMaaS(base_url=server.url) as client:

        def texts() -> object:
            with client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
                for chunk in stream:
                    yield chunk.choices[0].delta.content

        generator = texts()
        assert next(generator) == "x"  # type: ignore[call-overload]  # a generator's own type says less
        generator.close()  # type: ignore[attr-defined]  # the same
        assert server_side.left.wait(10)
