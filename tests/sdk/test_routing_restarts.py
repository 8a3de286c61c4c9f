"""Streams that break: what was not seen moves on, what was is told, or begun again if asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from lmaas import (
    APIConnectionError,
    AsyncLMaaS,
    LMaaS,
    StreamInterruptedError,
    StreamTruncatedError,
)
from lmaas.routing import Route, Strategy
from lmaas_gateway.testing import Ending, Fault, Outcome, Point, Script
from sdk.hostile import DONE, serving, streaming
from sdk.routing_worlds import ASK, WHOLE, endpoints, replicas, twice

if TYPE_CHECKING:
    pass
DIES = Script(
    tokens=3, text="Wrong from the start", fault=Fault.RESET, fault_at=Point.AFTER_EVENTS, fault_events=3
)
RESTARTS = Strategy(on_interrupt="restart")


def keep(chunks: list[Any], stream: Any) -> None:
    for chunk in stream:
        chunks.append(chunk)  # noqa: PERF402 - what came before an error is kept


async def keep_async(chunks: list[Any], stream: Any) -> None:
    async for chunk in stream:
        chunks.append(chunk)  # noqa: PERF401 - what came before an error is kept


def restarts_in(chunks: list[Any]) -> int:
    return sum(hasattr(chunk, "lmaas_restart") for chunk in chunks)


async def test_a_stream_that_dies_before_its_first_event_moves_on_unseen() -> None:
    dies = Script(tokens=3, fault=Fault.RESET, fault_at=Point.AFTER_HEADERS)
    async with replicas(dies, WHOLE) as (first, second):

        def ask(client: LMaaS) -> tuple[str, Route]:
            with client.chat.completions.create(**ASK, stream=True) as stream:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
                return text, stream.lmaas_metadata

        async def ask_async(client: AsyncLMaaS) -> tuple[str, Route]:
            async with await client.chat.completions.create(**ASK, stream=True) as stream:
                chunks = [chunk async for chunk in stream]
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
                return text, stream.lmaas_metadata

        for text, route in await twice([first.url, second.url], ask, ask_async):
            assert text == "Hello there you"
            assert route.platform == "b"


async def test_a_stream_that_breaks_after_its_first_token_raises_and_is_not_sent_again() -> None:
    async with replicas(DIES, WHOLE) as (first, second):

        def ask(client: LMaaS) -> StreamInterruptedError:
            with pytest.raises(StreamInterruptedError) as raised:
                list(client.chat.completions.create(**ASK, stream=True))
            return raised.value

        async def ask_async(client: AsyncLMaaS) -> StreamInterruptedError:
            with pytest.raises(StreamInterruptedError) as raised:
                async for _ in await client.chat.completions.create(**ASK, stream=True):
                    pass
            return raised.value

        for error in await twice([first.url, second.url], ask, ask_async):
            assert (error.partial_text or "").startswith("Wrong")
            assert error.lmaas_metadata.tries[-1].error == "StreamInterruptedError"
        assert not second.calls


async def test_a_restart_that_was_asked_for_is_an_event_in_the_stream() -> None:
    async with replicas(DIES, WHOLE) as (first, second):

        def texts(chunks: list[Any]) -> list[str]:
            said = [""]
            for chunk in chunks:
                if restart := getattr(chunk, "lmaas_restart", None):
                    said.append(f"<{restart['platform']} after {restart['after']}>")
                    assert restart["discarded_characters"] == len(said[0])
                    said.append("")
                elif chunk.choices:
                    said[-1] += chunk.choices[0].delta.content or ""
            return said

        def ask(client: LMaaS) -> list[str]:
            return texts(list(client.chat.completions.create(**ASK, stream=True)))

        async def ask_async(client: AsyncLMaaS) -> list[str]:
            return texts([chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)])

        for said in await twice([first.url, second.url], ask, ask_async, strategy=RESTARTS):
            assert said[0].startswith("Wrong")
            assert said[1:] == ["<b after StreamInterruptedError>", "Hello there you"]
        assert all(call.outcome is Outcome.FINISHED for call in second.calls)


async def test_the_helper_of_streams_forgets_what_was_void_and_the_books_see_one_whole_call() -> None:
    async with replicas(DIES, WHOLE) as (first, second):

        def ask(client: LMaaS) -> tuple[Any, Any]:
            with client.chat.completions.stream(**ASK) as stream:
                return stream.get_final_completion(), client.spent

        async def ask_async(client: AsyncLMaaS) -> tuple[Any, Any]:
            async with client.chat.completions.stream(**ASK) as stream:
                return await stream.get_final_completion(), client.spent

        for completion, spent in await twice([first.url, second.url], ask, ask_async, strategy=RESTARTS):
            assert completion.choices[0].message.content == "Hello there you"
            assert spent.calls == 1
            assert spent.tokens.output_tokens == 3


async def test_restarts_end_with_the_tries_and_with_the_last_platforms_error() -> None:
    async with replicas(DIES, DIES) as (first, second):

        def ask(client: LMaaS) -> tuple[int, Any]:
            stream = client.chat.completions.create(**ASK, stream=True)
            chunks: list[Any] = []
            with pytest.raises(StreamInterruptedError) as raised:
                keep(chunks, stream)
            return restarts_in(chunks), raised.value

        async def ask_async(client: AsyncLMaaS) -> tuple[int, Any]:
            stream = await client.chat.completions.create(**ASK, stream=True)
            chunks: list[Any] = []
            with pytest.raises(StreamInterruptedError) as raised:
                await keep_async(chunks, stream)
            return restarts_in(chunks), raised.value

        for restarts, error in await twice(
            [first.url, second.url], ask, ask_async, strategy=RESTARTS, max_retries=2
        ):
            assert restarts == 2
            assert [one.platform for one in error.lmaas_metadata.tries] == ["a", "b", "a"]


async def test_a_stream_of_a_response_restarts_too() -> None:
    script = Script(tokens=2, text="Void", ending=Ending.EOF)
    async with replicas(script, WHOLE) as (first, second):
        platforms = endpoints(first.url, second.url)
        async with AsyncLMaaS(platforms=platforms, strategy=RESTARTS) as client:
            kinds = [
                one.type async for one in await client.responses.create(model="mock", input="hi", stream=True)
            ]
    assert kinds.count("lmaas.restart") == 1
    assert kinds[-1] == "response.completed"
    assert kinds[kinds.index("lmaas.restart") + 1] == "response.created"


async def test_a_stream_that_only_says_done_has_not_begun() -> None:
    with serving(streaming([DONE])) as empty:
        async with replicas(WHOLE) as (alive,):

            def ask(client: LMaaS) -> int:
                return len(list(client.chat.completions.create(**ASK, stream=True)))

            async def ask_async(client: AsyncLMaaS) -> int:
                return len(
                    [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
                )

            assert all(count >= 3 for count in await twice([empty.url, alive.url], ask, ask_async))
            with (
                pytest.raises(StreamTruncatedError),
                LMaaS(platforms=endpoints(empty.url), max_retries=0) as alone,
            ):
                await asyncio.to_thread(lambda: alone.chat.completions.create(**ASK, stream=True))


async def test_a_restart_that_fails_says_what_the_stream_had_said() -> None:
    async with replicas(DIES) as (first,):

        def ask(client: LMaaS) -> APIConnectionError:
            with pytest.raises(APIConnectionError) as raised:
                keep([], client.chat.completions.create(**ASK, stream=True))
            return raised.value

        async def ask_async(client: AsyncLMaaS) -> APIConnectionError:
            with pytest.raises(APIConnectionError) as raised:
                await keep_async([], await client.chat.completions.create(**ASK, stream=True))
            return raised.value

        for error in await twice(
            [first.url, "http://127.0.0.1:9"], ask, ask_async, strategy=RESTARTS, max_retries=1
        ):
            assert (error.partial_text or "").startswith("Wrong")
            assert [one.platform for one in error.lmaas_metadata.tries] == ["a", "b"]
