from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from typing_extensions import TypedDict

from lmaas import (
    AnswerError,
    ContentFilterFinishReasonError,
    LengthFinishReasonError,
    OutputValidationError,
    RefusalError,
)
from lmaas._output import Asking, OutputType
from lmaas.types import ParsedChatCompletion

MESSAGES = [{"role": "user", "content": "hi"}]


class Even(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _is_even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("must be even")
        return n


@dataclass
class Plain:
    n: int


class Typed(TypedDict):
    n: int


def answer(content: str | None, finish: str = "stop", **message: Any) -> ParsedChatCompletion[Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish,
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    fields = {"id": "c", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return ParsedChatCompletion.model_validate(fields)


@pytest.mark.parametrize(
    ("kind", "value"), [(Even, Even(n=2)), (Plain, Plain(2)), (Typed, {"n": 2}), (dict[str, int], {"n": 2})]
)
def test_each_kind_of_type_is_asked_for_and_read(kind: type[Any], value: object) -> None:
    asking = Asking(MESSAGES, OutputType(kind), 0)
    asked = asking.response_format
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    assert asked["json_schema"]["schema"]["type"] == "object"
    completion = answer('{"n": 2}')
    assert asking.is_answered_by(completion)
    assert completion.choices[0].message.parsed == value


def test_parsed_object_stays_out_of_what_is_sent_back() -> None:
    completion = answer('{"n": 2}')
    OutputType(Even).read_all(completion)
    assert "parsed" not in completion.choices[0].message.model_dump(exclude_unset=True)


def test_answer_that_does_not_validate_is_asked_for_again_with_the_reason() -> None:
    asking = Asking(MESSAGES, OutputType(Even), 2)
    first, second = answer('{"n": 1}'), answer('{"n": 4}')
    assert not asking.is_answered_by(first)
    assert asking.messages[:2] == [*MESSAGES, first.choices[0].message]
    last = asking.messages[2]
    assert isinstance(last, dict)
    assert last["role"] == "user"
    assert "- n: Value error, must be even" in str(last["content"])
    assert asking.is_answered_by(second)
    assert second.rejected == (first,)
    assert second.choices[0].message.parsed == Even(n=4)


def test_patience_ends_after_max_reasks() -> None:
    asking = Asking(MESSAGES, OutputType(Even), 1)
    assert not asking.is_answered_by(answer('{"n": 1}'))
    with pytest.raises(
        OutputValidationError, match="not a valid Even: n: Value error, must be even"
    ) as caught:
        asking.is_answered_by(answer('{"n": 3}'))
    assert len(caught.value.completion.rejected) == 1
    with pytest.raises(ValueError, match="max_reasks is -1"):
        Asking(MESSAGES, OutputType(Even), -1)


@pytest.mark.parametrize(
    ("completion", "error", "words"),
    [
        (answer(None, refusal="I will not."), RefusalError, "refused: I will not"),
        (answer('{"n"', "length"), LengthFinishReasonError, "after 4 tokens.*max_tokens"),
        (answer("", "content_filter"), ContentFilterFinishReasonError, "content filter"),
        (answer("no json"), OutputValidationError, "Invalid JSON"),
        (answer(None), OutputValidationError, "Invalid JSON"),
    ],
)
def test_answer_that_is_none_is_a_typed_error_that_can_be_pickled(
    completion: ParsedChatCompletion[Any], error: type[AnswerError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        OutputType(Even).read_all(completion)
    assert caught.value.completion is completion
    assert caught.value.request_id is None
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (type(copied), str(copied)) == (error, str(caught.value))
    assert copied.completion == completion


def test_length_without_usage_is_told_all_the_same() -> None:
    completion = answer('{"n"', "length")
    completion.usage = None
    with pytest.raises(LengthFinishReasonError, match="cut off, before"):
        OutputType(Even).read_all(completion)


def test_call_of_a_tool_in_place_of_an_object_is_no_error() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    completion = answer(None, "tool_calls", tool_calls=[call])
    OutputType(Even).read_all(completion)
    assert completion.choices[0].message.parsed is None
