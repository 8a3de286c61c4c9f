"""Answers as objects: what is asked of the model, and what is made of its answer. Decided without I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from lmaas import errors
from lmaas._schema import schema_name, strict_schema

if TYPE_CHECKING:
    from lmaas.types import MessageParam, ParsedChatCompletion, ParsedChoice

T = TypeVar("T")

REASK: Final = """\
Your answer does not fit the schema that was asked for:
{problems}
Answer again, with the corrected JSON and nothing else."""
"""What the model is told of an answer that does not validate."""


class OutputType(Generic[T]):
    """The type that an answer is to have.

    Args:
        type: A pydantic model, a dataclass, a TypedDict, or anything else that pydantic validates.
    """

    def __init__(self, type: type[T]) -> None:  # noqa: A002 - what it is
        self._adapter = TypeAdapter(type)
        self.name = schema_name(type)

    def response_format(self) -> dict[str, Any]:
        """Return the parameter that makes the server hold the model to the type."""
        schema = strict_schema(self._adapter.json_schema())
        return {
            "type": "json_schema",
            "json_schema": {"name": self.name, "schema": schema, "strict": True},
        }

    def read(self, choice: ParsedChoice[T], completion: ParsedChatCompletion[T]) -> T | None:
        """Return what a finished choice says, None where it calls tools instead.

        Raises:
            RefusalError: the model refused.
            LengthFinishReasonError: the text was cut off.
            ContentFilterFinishReasonError: the server held text back.
            OutputValidationError: the text does not fit the type.
        """
        check_is_whole(choice, completion)
        if choice.message.tool_calls and not choice.message.content:
            return None
        try:
            return self._adapter.validate_json(choice.message.content or "")
        except ValidationError as exc:
            raise self._misfit(exc, completion) from exc

    def read_all(self, completion: ParsedChatCompletion[T]) -> None:
        """Set `parsed` in each choice; raises as `read` does."""
        for choice in completion.choices:
            choice.message.parsed = self.read(choice, completion)

    def _misfit(
        self, exc: ValidationError, completion: ParsedChatCompletion[T]
    ) -> errors.OutputValidationError:
        problems = problems_in(exc)
        message = f"The answer is not a valid {self.name}: {'; '.join(problems)}."
        error = errors.OutputValidationError(message, completion=completion)
        error.problems = problems
        return error


def problems_in(exc: ValidationError) -> tuple[str, ...]:
    """Say where values do not fit and why, without the values."""
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    return tuple(": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in found)


def check_is_whole(choice: ParsedChoice[T], completion: ParsedChatCompletion[T]) -> None:
    """Refuse an answer that was refused, cut off or held back; raises as `OutputType.read` does."""
    if choice.message.refusal:
        message = f"The model refused: {choice.message.refusal}"
        raise errors.RefusalError(message, completion=completion)
    if choice.finish_reason == "length":
        used = completion.usage.completion_tokens if completion.usage else None
        spent = f" after {used} tokens" if used else ""
        message = f"The answer was cut off{spent}, before it was whole. Allow more with max_tokens."
        raise errors.LengthFinishReasonError(message, completion=completion)
    if choice.finish_reason == "content_filter":
        message = "The server's content filter held the answer back."
        raise errors.ContentFilterFinishReasonError(message, completion=completion)


def asked_again(messages: Iterable[MessageParam], error: errors.OutputValidationError) -> list[MessageParam]:
    """Return the conversation with the answer that did not fit, and what was wrong with it."""
    answers = [choice.message for choice in error.completion.choices if choice.message.parsed is None]
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    return [*messages, answers[0], {"role": "user", "content": REASK.format(problems=problems)}]


class Asking(Generic[T]):
    """A question that is asked until its answer fits the type, or `max_reasks` more times have not helped."""

    def __init__(self, messages: Iterable[MessageParam], output: OutputType[T], max_reasks: int) -> None:
        if max_reasks < 0:
            message = f"max_reasks is {max_reasks}; give 0 for none."
            raise ValueError(message)
        self.messages = list(messages)
        self.response_format = output.response_format()
        self._output = output
        self._max_reasks = max_reasks
        self._rejected: tuple[ParsedChatCompletion[T], ...] = ()

    def is_answered_by(self, completion: ParsedChatCompletion[T]) -> bool:
        """Parse an answer; if it does not fit, put into `messages` what is to be asked next.

        Raises:
            AnswerError: it does not fit and may not be asked for again, or asking again would not help.
        """
        completion._rejected = self._rejected  # noqa: SLF001 - the model's own constructor takes wire fields only
        try:
            self._output.read_all(completion)
        except errors.OutputValidationError as error:
            if len(self._rejected) == self._max_reasks:
                raise
            self._rejected = (*self._rejected, completion)
            self.messages = asked_again(self.messages, error)
            return False
        return True
