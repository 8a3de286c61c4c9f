from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from lmaas import LengthFinishReasonError, ToolRoundsError
from lmaas._tools import Toolbox, ToolLoop, ToolResult
from lmaas.types import FunctionCall, ParsedChatCompletion, ToolCall

MESSAGES = [{"role": "user", "content": "hi"}]


class Weather(BaseModel):
    day: date
    degrees: float


def weather(city: str, day: date) -> Weather:
    """Tell the weather."""
    if city == "Atlantis":
        raise LookupError("no such city: Atlantis")
    return Weather(day=day, degrees=21.5)


def shout(text: str = "hi") -> str:
    return text.upper()


def odd() -> object:
    return object()


def call(name: str, arguments: str = "{}", call_id: str = "t1") -> ToolCall:
    return ToolCall(id=call_id, function=FunctionCall(name=name, arguments=arguments))


def wants(*calls: ToolCall, content: str | None = None, finish: str = "stop") -> ParsedChatCompletion[Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [one.model_dump() for one in calls]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return ParsedChatCompletion.model_validate({"id": "c", "created": 1, "model": "m", "choices": [choice]})


def called(one: ToolCall) -> ToolResult:
    return Toolbox([weather, shout, odd]).call(one)


def test_arguments_are_validated_and_results_are_written_as_json_or_text() -> None:
    result = called(call("weather", '{"city": "Rome", "day": "2026-01-02"}'))
    assert result.value == Weather(day=date(2026, 1, 2), degrees=21.5)
    assert result.content == '{"day":"2026-01-02","degrees":21.5}'
    assert result.as_message() == {"role": "tool", "tool_call_id": "t1", "content": result.content}
    assert called(call("shout")).content == "HI"
    assert called(call("shout", "")).content == "HI"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (call("weather", '{"city": "Atlantis", "day": "2026-01-02"}'), "LookupError: no such city: Atlantis"),
        (call("weather", '{"city": 3, "day": "soon"}'), "city: Input should be a valid string; day: "),
        (call("weather", "not json"), "Invalid JSON"),
        (call("nothing"), "no such tool; there are: weather, shout, odd"),
        (call("odd"), "Unable to serialize"),
    ],
)
async def test_what_goes_wrong_is_the_result_that_the_model_sees(one: ToolCall, words: str) -> None:
    result = called(one)
    assert result.is_error
    assert result.content.startswith("Error: ")
    assert words in result.content
    assert await Toolbox([weather, shout, odd]).call_async(one, asyncio.to_thread) == result


def test_error_without_words_has_its_name() -> None:
    def fails() -> None:
        raise NotImplementedError

    assert Toolbox([fails]).call(call("fails")).content == "Error: NotImplementedError"


async def test_asynchronous_functions_are_awaited_and_plain_ones_leave_the_loop() -> None:
    async def later(text: str) -> str:
        await asyncio.sleep(0)
        return text

    left: list[object] = []

    async def in_thread(function: Callable[[], Any]) -> Any:
        left.append(function)
        return function()

    toolbox = Toolbox([later, shout])
    assert (await toolbox.call_async(call("later", '{"text": "x"}'), in_thread)).content == "x"
    assert left == []
    assert (await toolbox.call_async(call("shout"), in_thread)).content == "HI"
    assert len(left) == 1


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tools are named 'shout'"):
        Toolbox([shout, shout])


def test_conversation_goes_round_until_the_model_answers() -> None:
    toolbox = Toolbox([shout])
    loop = ToolLoop(MESSAGES, toolbox, 3, {"tool_choice": "required", "seed": 1})
    assert loop.params == {"tool_choice": "required", "seed": 1}
    assert loop.body == {"messages": MESSAGES, "tools": toolbox.definitions}
    first = wants(call("shout", call_id="a"), call("shout", '{"text": "b"}', call_id="b"))
    calls = loop.take(first)
    loop.answer([toolbox.call(one) for one in calls])
    assert loop.params == {"seed": 1}
    last = wants(content="Done.")
    assert loop.take(last) == ()
    run = loop.finished()
    assert run.text == "Done."
    assert run.completions == (first, last)
    assert [result.content for result in run.results] == ["HI", "B"]
    assert run.messages == (
        *MESSAGES,
        first.choices[0].message,
        {"role": "tool", "tool_call_id": "a", "content": "HI"},
        {"role": "tool", "tool_call_id": "b", "content": "B"},
        last.choices[0].message,
    )


def test_choice_of_no_tools_holds_for_every_round() -> None:
    loop = ToolLoop(MESSAGES, Toolbox([]), 2, {"tool_choice": "none"})
    loop.take(wants(content=None))
    assert loop.params == {"tool_choice": "none"}
    assert "tools" not in loop.body
    assert loop.finished().text == ""


def test_last_round_has_to_be_an_answer() -> None:
    loop = ToolLoop(MESSAGES, Toolbox([shout]), 1, {})
    completion = wants(call("shout"))
    with pytest.raises(ToolRoundsError, match=r"after 1 rounds \(max_rounds\)") as caught:
        loop.take(completion)
    assert caught.value.messages == (*MESSAGES, completion.choices[0].message)
    with pytest.raises(ValueError, match="max_rounds is 0"):
        ToolLoop(MESSAGES, Toolbox([]), 0, {})


def test_call_that_was_cut_off_is_not_made() -> None:
    loop = ToolLoop(MESSAGES, Toolbox([shout]), 2, {})
    with pytest.raises(LengthFinishReasonError):
        loop.take(wants(call("shout", '{"te'), finish="length"))
