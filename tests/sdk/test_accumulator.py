from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lmaas import LengthFinishReasonError, OutputValidationError
from lmaas._accumulator import ChatAccumulator
from lmaas._output import OutputType
from lmaas.types import ChatCompletionChunk, ChatStreamEvent, ContentDeltaEvent


def chunk(*choices: dict[str, Any], **fields: Any) -> ChatCompletionChunk:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return ChatCompletionChunk.model_validate({**head, "choices": choices, **fields})


def says(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def fed(
    accumulator: ChatAccumulator[Any], chunks: Iterable[ChatCompletionChunk]
) -> list[ChatStreamEvent[Any]]:
    return [event for one in chunks for event in accumulator.add(one) if event.type != "chunk"]


def tool(index: int, **fields: Any) -> dict[str, Any]:
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {"index": index, **fields, **({"function": function} if function else {})}


def test_text_usage_and_unknown_fields_come_together() -> None:
    accumulator = ChatAccumulator[None]()
    events = fed(
        accumulator,
        [
            chunk(says(role="assistant", content=""), system_fingerprint="f", new_field=1),
            chunk({**says(content="Hel"), "token_ids": [1, 2], "note": "a"}),
            chunk({**says(content="lo", finish="stop", marks=[1]), "token_ids": [3], "stop_reason": 2}),
            chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
        ],
    )
    assert [event.type for event in events] == ["content.delta", "content.delta", "content.done"]
    assert [event.snapshot for event in events if isinstance(event, ContentDeltaEvent)] == ["Hel", "Hello"]
    whole = accumulator.snapshot()
    assert whole.to_dict() == {
        "id": "c",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": "f",
        "new_field": 1,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "marks": [1]},
                "finish_reason": "stop",
                "stop_reason": 2,
                "token_ids": [1, 2, 3],
                "note": "a",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def test_snapshot_of_nothing_is_an_empty_answer() -> None:
    accumulator = ChatAccumulator[None]()
    assert accumulator.text == ""
    assert accumulator.snapshot().choices == []


def test_earlier_snapshot_does_not_change_with_later_chunks() -> None:
    accumulator = ChatAccumulator[None]()
    fed(accumulator, [chunk({**says(content="a"), "token_ids": [1]})])
    before = accumulator.snapshot()
    fed(accumulator, [chunk({**says(content="b"), "token_ids": [2]})])
    assert before.choices[0].message.content == "a"
    assert (before.choices[0].model_extra or {})["token_ids"] == [1]


def test_several_choices_are_kept_apart_and_in_order() -> None:
    accumulator = ChatAccumulator[None]()
    events = fed(
        accumulator,
        [
            chunk(says(1, content="b")),
            chunk(says(0, content="a"), says(1, content="B", finish="length")),
            chunk(says(0, content="A", finish="stop")),
        ],
    )
    assert [choice.message.content for choice in accumulator.snapshot().choices] == ["aA", "bB"]
    assert [choice.finish_reason for choice in accumulator.snapshot().choices] == ["stop", "length"]
    done = [(event.choice_index, event.content) for event in events if event.type == "content.done"]
    assert done == [(1, "bB"), (0, "aA")]
    assert accumulator.text == "aA"


def test_tool_calls_are_assembled_from_their_pieces() -> None:
    accumulator = ChatAccumulator[None]()
    events = fed(
        accumulator,
        [
            chunk(says(tool_calls=[tool(1, id="t1", name="two", arguments="")])),
            chunk(says(tool_calls=[tool(0, id="t0", type="function", name="one", arguments='{"a"')])),
            chunk(says(tool_calls=[tool(0, arguments=": 1}"), tool(1)])),
            chunk(says(tool_calls=[tool(1, arguments="{}")], finish="tool_calls")),
        ],
    )
    message = accumulator.snapshot().choices[0].message
    assert message.content is None
    assert [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()] == [
        ("t0", "one", '{"a": 1}'),
        ("t1", "two", "{}"),
    ]
    deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert [(event.index, event.arguments_delta, event.arguments) for event in deltas] == [
        (0, '{"a"', '{"a"'),
        (0, ": 1}", '{"a": 1}'),
        (1, "{}", "{}"),
    ]
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert {(event.name, event.arguments) for event in done} == {("one", '{"a": 1}'), ("two", "{}")}


def test_reasoning_under_both_of_its_names_is_one_text() -> None:
    accumulator = ChatAccumulator[None]()
    events = fed(
        accumulator,
        [
            chunk(says(reasoning="hm", reasoning_content="hm")),
            chunk(says(reasoning_content="!", reasoning="!")),
            chunk(says(content="Yes", finish="stop")),
        ],
    )
    kinds = ["reasoning.delta", "reasoning.delta", "content.delta", "reasoning.done", "content.done"]
    assert [event.type for event in events] == kinds
    assert [event.reasoning for event in events if event.type == "reasoning.done"] == ["hm!"]
    message = accumulator.snapshot().choices[0].message
    assert (message.reasoning, message.reasoning_content, message.content) == ("hm!", "hm!", "Yes")


def test_older_name_of_reasoning_alone_makes_events_too() -> None:
    events = fed(ChatAccumulator[None](), [chunk(says(reasoning_content="hm"))])
    assert [event.snapshot for event in events if event.type == "reasoning.delta"] == ["hm"]


def test_refusal_and_logprobs_add_up() -> None:
    token = {"token": "a", "logprob": -0.5, "top_logprobs": []}
    accumulator = ChatAccumulator[None]()
    events = fed(
        accumulator,
        [
            chunk({**says(refusal="No"), "logprobs": {"refusal": [token]}}),
            chunk({**says(refusal="."), "logprobs": {"content": [token]}}),
            chunk({**says(finish="stop"), "logprobs": {"content": [token]}}),
        ],
    )
    assert [event.type for event in events] == [
        "refusal.delta",
        "refusal.delta",
        "logprobs.content.delta",
        "logprobs.content.delta",
        "refusal.done",
    ]
    choice = accumulator.snapshot().choices[0]
    assert choice.message.refusal == "No."
    assert choice.logprobs is not None
    assert (len(choice.logprobs.content or ()), len(choice.logprobs.refusal or ())) == (2, 1)


class Point(BaseModel):
    x: int
    label: str


def test_object_grows_while_it_is_streamed_and_is_there_at_the_end() -> None:
    accumulator = ChatAccumulator(OutputType(Point))
    parts = ['{"x"', ': 1, "la', 'bel": "a', 'b"}']
    chunks = [chunk(says(content=part)) for part in parts]
    events = fed(accumulator, [*chunks, chunk(says(finish="stop"))])
    partial = [event.parsed for event in events if isinstance(event, ContentDeltaEvent)]
    assert partial == [{}, {"x": 1}, {"x": 1, "label": "a"}, {"x": 1, "label": "ab"}]
    assert [event.parsed for event in events if event.type == "content.done"] == [Point(x=1, label="ab")]
    assert accumulator.snapshot().choices[0].message.parsed == Point(x=1, label="ab")


def test_text_that_is_no_json_has_nothing_parsed() -> None:
    events = fed(ChatAccumulator[None](), [chunk(says(content="Hello"))])
    assert [event.parsed for event in events if isinstance(event, ContentDeltaEvent)] == [None]


def test_object_that_ends_badly_raises_with_the_answer() -> None:
    with pytest.raises(LengthFinishReasonError) as cut:
        fed(ChatAccumulator(OutputType(Point)), [chunk(says(content='{"x"', finish="length"))])
    assert cut.value.completion.choices[0].message.content == '{"x"'
    with pytest.raises(OutputValidationError, match="label: Field required") as misfit:
        fed(ChatAccumulator(OutputType(Point)), [chunk(says(content='{"x": 1}', finish="stop"))])
    assert misfit.value.problems == ("label: Field required",)


@given(st.text(min_size=1), st.lists(st.integers(1, 5), max_size=20))
def test_text_is_the_same_however_it_is_cut(text: str, sizes: list[int]) -> None:
    pieces, rest = [], text
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    accumulator = ChatAccumulator[None]()
    fed(accumulator, [chunk(says(content=piece)) for piece in [*pieces, rest]])
    assert accumulator.text == accumulator.snapshot().choices[0].message.content == text


def test_cost_of_a_chunk_does_not_grow_with_the_answer() -> None:
    one = chunk({**says(content="token "), "token_ids": [1]})

    def cost_s(count: int) -> float:
        accumulator = ChatAccumulator[None]()
        started = time.process_time()
        for _ in range(count):
            for _event in accumulator.add(one):
                pass
        return time.process_time() - started

    short_s = min(cost_s(2_000) for _ in range(3))
    assert cost_s(20_000) < 10 * short_s * 3  # joining at each chunk would be 10 times more than that
