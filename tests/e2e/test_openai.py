from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageFunctionToolCall

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "strict": True, "parameters": WEATHER_SCHEMA},
}


@pytest.fixture
def official(gateway: LiveGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as one:
        yield one


def test_chat(official: openai.OpenAI) -> None:
    reply = official.chat.completions.create(model=CHAT, messages=QUESTION, max_tokens=16, temperature=0)
    assert "Paris" in str(reply.choices[0].message.content)
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 0


@pytest.mark.parametrize("wants_usage", [True, False])
def test_stream_has_usage_only_if_asked(official: openai.OpenAI, wants_usage: bool) -> None:
    stream = official.chat.completions.create(
        model=CHAT,
        messages=QUESTION,
        max_tokens=16,
        temperature=0,
        stream=True,
        stream_options={"include_usage": wants_usage},
    )
    chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "Paris" in text
    assert [bool(chunk.usage) for chunk in chunks].count(True) == wants_usage
    assert all(chunk.choices for chunk in chunks[: -1 if wants_usage else None])


def test_forced_strict_tool_call_keeps_to_its_schema(official: openai.OpenAI) -> None:
    reply = official.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        max_tokens=128,
        temperature=0,
    )
    calls = reply.choices[0].message.tool_calls or []
    assert len(calls) == 1
    assert isinstance(calls[0], ChatCompletionMessageFunctionToolCall)
    assert calls[0].function.name == "get_weather"
    arguments = json.loads(calls[0].function.arguments)
    assert arguments.keys() == {"city", "unit"}
    assert arguments["unit"] in {"celsius", "fahrenheit"}


def test_streamed_required_tool_call_adds_up_to_json(official: openai.OpenAI) -> None:
    stream = official.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=128,
        temperature=0,
        stream=True,
    )
    name = arguments = ""
    finish = None
    for chunk in stream:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == "get_weather"
    assert json.loads(arguments).keys() == {"city", "unit"}
    assert finish == "tool_calls"


def test_json_schema_binds_the_answer(official: openai.OpenAI) -> None:
    reply = official.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "What is the weather in Paris? Answer as JSON."}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "weather", "strict": True, "schema": WEATHER_SCHEMA},
        },
        max_tokens=64,
        temperature=0,
    )
    answer = json.loads(str(reply.choices[0].message.content))
    assert answer.keys() == {"city", "unit"}
    assert reply.choices[0].finish_reason == "stop"


def test_completions_stream_as_they_answer(official: openai.OpenAI) -> None:
    def params() -> dict[str, Any]:
        return {"model": CHAT, "prompt": "One, two, three,", "max_tokens": 6, "temperature": 0}

    whole = official.completions.create(**params())
    text = "".join(chunk.choices[0].text for chunk in official.completions.create(**params(), stream=True))
    assert text == whole.choices[0].text
    assert text


def test_embeddings_in_both_formats_are_384_numbers(official: openai.OpenAI) -> None:
    default = official.embeddings.create(model=EMBEDDING, input="a cat").data[0].embedding
    floats = (
        official.embeddings.create(model=EMBEDDING, input="a cat", encoding_format="float").data[0].embedding
    )
    encoded = official.embeddings.create(model=EMBEDDING, input="a cat", encoding_format="base64").data[0]
    assert len(default) == 384
    assert default == pytest.approx(floats, abs=1e-6)
    assert len(b64decode(str(encoded.embedding))) == 384 * 4


def test_responses(official: openai.OpenAI) -> None:
    reply = official.responses.create(
        model=CHAT, input="What is the capital of France?", max_output_tokens=16, temperature=0
    )
    assert "Paris" in reply.output_text
    assert reply.status == "completed"


def test_responses_stream_ends_with_the_whole_response(official: openai.OpenAI) -> None:
    stream = official.responses.create(
        model=CHAT, input="What is the capital of France?", max_output_tokens=16, temperature=0, stream=True
    )
    text = ""
    last = None
    for event in stream:
        last = event
        if event.type == "response.output_text.delta":
            text += event.delta
    assert last is not None
    assert last.type == "response.completed"
    assert "Paris" in text
    assert last.response.output_text == text


def test_models(official: openai.OpenAI) -> None:
    assert [model.id for model in official.models.list()] == [CHAT, EMBEDDING]
    assert official.models.retrieve(EMBEDDING).id == EMBEDDING


def test_errors_are_of_the_classes_that_the_client_has(official: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        official.chat.completions.create(model="nobody", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        official.chat.completions.create(model=CHAT, messages=QUESTION, max_tokens=-1)
    assert refused.value.param == "max_tokens"


async def test_async_client_streams(gateway: LiveGateway) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as one:
        stream = await one.chat.completions.create(
            model=CHAT, messages=QUESTION, max_tokens=16, temperature=0, stream=True
        )
        text = "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])
    assert "Paris" in text
