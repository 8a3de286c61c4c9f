"""`stream`, `parse` and `run_tools`, both twins, over sockets and respx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import httpx
import pytest
import respx
from pydantic import BaseModel

from lmaas import (
    APIStatusError,
    AsyncLMaaS,
    LengthFinishReasonError,
    LMaaS,
    OutputValidationError,
    StreamTruncatedError,
)
from sdk.hostile import DONE, STREAM_HEAD, chat_event, chunked, serving, streaming

BASE = "http://lmaas.test/v1"
MESSAGES = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE_EVENT = (
    b"data: "
    + json.dumps({"id": "c", "created": 1, "model": "m", "choices": [], "usage": USAGE}).encode()
    + b"\n\n"
)
GOOD = [chat_event("Hel"), chat_event("lo"), chat_event(finish="stop"), USAGE_EVENT, DONE]


class Point(BaseModel):
    x: int


def use_sync(url: str, use: Callable[[Any, Callable[[Any], Any]], Any], **options: Any) -> Any:
    """Run a program that was written for both twins, on the synchronous one."""

    async def run() -> Any:
        with LMaaS(base_url=url, max_retries=0) as client:
            return await use(client, _ready)

    return asyncio.run(run())


def use_async(url: str, use: Callable[[Any, Callable[[Any], Any]], Any], **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncLMaaS(base_url=url, max_retries=0) as client:
            return await use(client, _awaited)

    return asyncio.run(run())


async def _ready(value: Any) -> Any:
    return value


async def _awaited(value: Any) -> Any:
    return await value


Use: TypeAlias = Callable[..., Any]


@pytest.fixture(params=[use_sync, use_async])
def using(request: pytest.FixtureRequest) -> Use:
    return cast("Use", request.param)


def answer(content: str | None, finish: str = "stop", **message: Any) -> httpx.Response:
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    body = {"id": "c", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    return httpx.Response(200, json=body, headers={"x-request-id": "r"})


def sent(route: respx.Route) -> list[Any]:
    return [json.loads(call.request.content) for call in route.calls]


def test_final_completion_has_text_usage_and_request_id(using: Use) -> None:
    async def program(client: Any, get: Any) -> Any:
        stream = client.chat.completions.stream(messages=MESSAGES, model="m", seed=1)
        assert stream.request_id is None
        completion = await get(stream.get_final_completion())
        return completion, stream.text, stream.request_id

    with serving(streaming(GOOD)) as server:
        completion, text, request_id = using(server.url, program)
    assert (completion.choices[0].message.content, text) == ("Hello", "Hello")
    assert (completion.usage.total_tokens, completion.request_id, request_id) == (5, "req-7", "req-7")
    assert server.requests[0].json == {
        "model": "m",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 1,
    }


def test_usage_is_not_asked_for_when_the_caller_says_so() -> None:
    with serving(streaming([*GOOD[:3], DONE])) as server, LMaaS(base_url=server.url) as client:
        stream = client.chat.completions.stream(
            messages=MESSAGES, model="m", stream_options={"include_usage": False}
        )
        assert stream.get_final_completion().usage is None
    assert server.requests[0].json["stream_options"] == {"include_usage": False}


def test_misspelt_parameter_is_refused_before_the_call() -> None:
    client = LMaaS(base_url=BASE)
    mistake: Any = {"temprature": 1}
    with pytest.raises(TypeError, match="did you mean 'temperature'"):
        client.chat.completions.stream(messages=MESSAGES, model="m", **mistake)


def test_synchronous_stream_gives_events_and_texts() -> None:
    with serving(streaming(GOOD)) as server, LMaaS(base_url=server.url) as client:
        with client.chat.completions.stream(messages=MESSAGES, model="m") as stream:
            assert next(stream).type == "chunk"
            assert next(stream).type == "content.delta"
            assert stream.text == stream.current_completion_snapshot.choices[0].message.content == "Hel"
            kinds = [event.type for event in stream]
        with client.chat.completions.stream(messages=MESSAGES, model="m") as stream:
            assert list(stream.text_stream) == ["Hel", "lo"]
    assert kinds == ["chunk", "content.delta", "chunk", "content.done", "chunk"]


async def test_asynchronous_stream_gives_events_and_texts() -> None:
    with serving(streaming(GOOD)) as server:
        async with AsyncLMaaS(base_url=server.url) as client:
            async with client.chat.completions.stream(messages=MESSAGES, model="m") as stream:
                assert (await anext(stream)).type == "chunk"
                kinds = [event.type async for event in stream]
            async with client.chat.completions.stream(messages=MESSAGES, model="m") as stream:
                texts = [text async for text in stream.text_stream]
    assert kinds == ["content.delta", "chunk", "content.delta", "chunk", "content.done", "chunk"]
    assert texts == ["Hel", "lo"]


def test_texts_are_those_of_the_first_choice() -> None:
    events = [chat_event("a"), chat_event("b", index=1), chat_event(finish="stop")]
    events += [chat_event(finish="stop", index=1), DONE]
    with serving(streaming(events)) as server, LMaaS(base_url=server.url) as client:
        stream = client.chat.completions.stream(messages=MESSAGES, model="m", n=2)
        assert list(stream.text_stream) == ["a"]


def test_stream_that_was_never_entered_can_be_closed(using: Use) -> None:
    async def program(client: Any, get: Any) -> Any:
        await get(client.chat.completions.stream(messages=MESSAGES, model="m").close())

    using(BASE, program)


def test_truncated_stream_raises_with_the_partial_completion(using: Use) -> None:
    async def program(client: Any, get: Any) -> Any:
        await get(client.chat.completions.stream(messages=MESSAGES, model="m").until_done())

    with serving(streaming(GOOD[:2])) as server, pytest.raises(StreamTruncatedError) as caught:
        using(server.url, program)
    partial = caught.value.partial_completion
    assert partial.choices[0].message.content == caught.value.partial_text == "Hello"
    assert partial.choices[0].finish_reason is None
    assert partial.request_id == caught.value.request_id == "req-7"


def test_leaving_a_stream_early_closes_the_connection(using: Use) -> None:
    async def program(client: Any, get: Any) -> Any:
        stream = client.chat.completions.stream(messages=MESSAGES, model="m")
        if isinstance(client, LMaaS):
            with stream as entered:
                next(entered)
        else:
            async with stream as entered:
                await anext(entered)
        return stream.text

    def script(connection: Any) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + chunked(GOOD[0]))
        assert connection.is_left()

    with serving(script) as server:
        assert using(server.url, program) == "Hel"


def test_streamed_object_is_typed_at_the_end(using: Use) -> None:
    async def program(client: Any, get: Any) -> Any:
        stream = client.chat.completions.stream(messages=MESSAGES, model="m", response_format=Point)
        return await get(stream.get_final_completion())

    events = [chat_event('{"x"'), chat_event(": 3}"), chat_event(finish="stop"), DONE]
    with serving(streaming(events)) as server:
        completion = using(server.url, program)
    assert completion.choices[0].message.parsed == Point(x=3)
    asked = server.requests[0].json["response_format"]
    assert asked["json_schema"]["schema"]["required"] == ["x"]


def test_streamed_object_that_is_cut_off_raises(using: Use) -> None:
    async def program(client: Any, get: Any) -> Any:
        stream = client.chat.completions.stream(messages=MESSAGES, model="m", response_format=Point)
        await get(stream.until_done())

    events = [chat_event('{"x"'), chat_event(finish="length"), DONE]
    with serving(streaming(events)) as server, pytest.raises(LengthFinishReasonError) as caught:
        using(server.url, program)
    assert caught.value.completion.choices[0].message.content == '{"x"'


def test_format_in_the_words_of_the_api_is_sent_as_it_is() -> None:
    with serving(streaming(GOOD)) as server, LMaaS(base_url=server.url) as client:
        wanted = {"type": "json_object"}
        stream = client.chat.completions.stream(messages=MESSAGES, model="m", response_format=wanted)
        assert stream.get_final_completion().choices[0].message.parsed is None
    assert server.requests[0].json["response_format"] == wanted


def parse(client: Any, get: Any, **params: Any) -> Any:
    return get(client.chat.completions.parse(messages=MESSAGES, model="m", response_format=Point, **params))


def test_parse_returns_the_object(using: Use, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(f"{BASE}/chat/completions").mock(return_value=answer('{"x": 3}'))
    completion = using(BASE, lambda client, get: parse(client, get, seed=4))
    assert completion.choices[0].message.parsed == Point(x=3)
    assert (completion.rejected, completion.request_id) == ((), "r")
    body = sent(route)[0]
    assert body["seed"] == 4
    assert body["response_format"]["json_schema"]["name"] == "Point"


def test_parse_asks_again_with_what_was_wrong(using: Use, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(f"{BASE}/chat/completions").mock(
        side_effect=[answer('{"x": "no"}'), answer('{"x": 3}')]
    )
    completion = using(BASE, parse)
    assert completion.choices[0].message.parsed == Point(x=3)
    assert [one.choices[0].message.content for one in completion.rejected] == ['{"x": "no"}']
    messages = sent(route)[1]["messages"]
    assert messages[:2] == [*MESSAGES, {"role": "assistant", "content": '{"x": "no"}'}]
    assert "x: Input should be a valid integer" in messages[2]["content"]


def test_parse_gives_up_after_max_reasks(using: Use, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(f"{BASE}/chat/completions").mock(return_value=answer("nonsense"))
    with pytest.raises(OutputValidationError):
        using(BASE, lambda client, get: parse(client, get, max_reasks=2))
    assert route.call_count == 3


def test_run_tools_calls_functions_in_order_until_the_model_answers(
    using: Use, respx_mock: respx.MockRouter
) -> None:
    def double(n: int) -> int:
        """Double a number."""
        return 2 * n

    def fails(n: int) -> int:
        raise RuntimeError("out of order")

    calls = [
        {"id": "a", "type": "function", "function": {"name": "double", "arguments": '{"n": 2}'}},
        {"id": "b", "type": "function", "function": {"name": "fails", "arguments": '{"n": 2}'}},
    ]
    route = respx_mock.post(f"{BASE}/chat/completions").mock(
        side_effect=[answer(None, tool_calls=calls), answer("Four.")]
    )

    async def program(client: Any, get: Any) -> Any:
        return await get(
            client.chat.completions.run_tools(
                messages=MESSAGES, model="m", tools=[double, fails], tool_choice="required"
            )
        )

    run = using(BASE, program)
    assert run.text == "Four."
    assert [(result.call_id, result.is_error) for result in run.results] == [("a", False), ("b", True)]
    first, second = sent(route)
    assert first["tool_choice"] == "required"
    assert "tool_choice" not in second
    assert [tool["function"]["name"] for tool in second["tools"]] == ["double", "fails"]
    assert second["messages"] == [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "4"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: RuntimeError: out of order"},
    ]


async def test_asynchronous_calls_of_one_answer_run_side_by_side(respx_mock: respx.MockRouter) -> None:
    met = asyncio.Barrier(2)

    async def meet(who: str) -> str:
        async with asyncio.timeout(5):
            await met.wait()
        return who

    calls = [
        {"id": who, "type": "function", "function": {"name": "meet", "arguments": json.dumps({"who": who})}}
        for who in ("a", "b")
    ]
    respx_mock.post(f"{BASE}/chat/completions").mock(
        side_effect=[answer(None, tool_calls=calls), answer("Met.")]
    )
    async with AsyncLMaaS(base_url=BASE) as client:
        run = await client.chat.completions.run_tools(messages=MESSAGES, model="m", tools=[meet])
    assert [result.content for result in run.results] == ["a", "b"]


def test_failing_call_of_the_model_ends_the_conversation(using: Use, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(f"{BASE}/chat/completions").mock(return_value=httpx.Response(400, json={}))

    async def program(client: Any, get: Any) -> Any:
        await get(client.chat.completions.run_tools(messages=MESSAGES, model="m", tools=[]))

    with pytest.raises(APIStatusError):
        using(BASE, program)
