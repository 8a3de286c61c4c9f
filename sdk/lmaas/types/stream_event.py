"""Events of `chat.completions.stream`: what a chunk changed, and which parts of an answer are there.

`snapshot`, and `parsed` of an unfinished text, are worked out when asked for: an event that nobody asks costs
the same however long the answer has become.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from lmaas.types.chat import ChatCompletionChunk, TokenLogprob

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextSoFar:
    """The first `count` pieces of a text that goes on growing."""

    pieces: Sequence[str] = field(repr=False)
    count: int

    def __str__(self) -> str:
        return "".join(self.pieces[: self.count])


@dataclass(frozen=True, slots=True)
class _DeltaEvent:
    delta: str
    choice_index: int
    text: TextSoFar = field(repr=False)

    @property
    def snapshot(self) -> str:
        """The text up to and with this piece."""
        return str(self.text)


@dataclass(frozen=True, slots=True)
class ChunkEvent:
    """A chunk as it came; the events that it makes follow it."""

    chunk: ChatCompletionChunk
    type: Literal["chunk"] = "chunk"


@dataclass(frozen=True, slots=True)
class ContentDeltaEvent(_DeltaEvent):
    """A piece of the answer's text."""

    type: Literal["content.delta"] = "content.delta"

    @property
    def parsed(self) -> Any:
        """What the JSON so far says: dictionaries, lists and values, unfinished strings included.

        None while there is nothing to read, or when the text is no JSON.
        """
        from pydantic_core import from_json  # noqa: PLC0415 - only who asks for a type has use for it

        try:
            return from_json(self.snapshot, allow_partial="trailing-strings")
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class ContentDoneEvent(Generic[T]):
    """The text of a choice is there; `parsed` is the object, when a type was asked for."""

    content: str
    choice_index: int
    parsed: T | None = None
    type: Literal["content.done"] = "content.done"


@dataclass(frozen=True, slots=True)
class RefusalDeltaEvent(_DeltaEvent):
    """A piece of a refusal."""

    type: Literal["refusal.delta"] = "refusal.delta"


@dataclass(frozen=True, slots=True)
class RefusalDoneEvent:
    """A refusal is there."""

    refusal: str
    choice_index: int
    type: Literal["refusal.done"] = "refusal.done"


@dataclass(frozen=True, slots=True)
class ReasoningDeltaEvent(_DeltaEvent):
    """A piece of what the model thinks before it answers (vLLM's `reasoning` or `reasoning_content`)."""

    type: Literal["reasoning.delta"] = "reasoning.delta"


@dataclass(frozen=True, slots=True)
class ReasoningDoneEvent:
    """The model has thought."""

    reasoning: str
    choice_index: int
    type: Literal["reasoning.done"] = "reasoning.done"


@dataclass(frozen=True, slots=True)
class FunctionToolCallArgumentsDeltaEvent:
    """A piece of the arguments of the tool call at `index`."""

    name: str
    index: int
    arguments_delta: str
    choice_index: int
    text: TextSoFar = field(repr=False)
    type: Literal["tool_calls.function.arguments.delta"] = "tool_calls.function.arguments.delta"

    @property
    def arguments(self) -> str:
        """The JSON text up to and with this piece."""
        return str(self.text)


@dataclass(frozen=True, slots=True)
class FunctionToolCallArgumentsDoneEvent:
    """A tool call is there; `arguments` is JSON text, not yet checked by anyone."""

    name: str
    index: int
    arguments: str
    choice_index: int
    type: Literal["tool_calls.function.arguments.done"] = "tool_calls.function.arguments.done"


@dataclass(frozen=True, slots=True)
class LogprobsContentDeltaEvent:
    """Log-probabilities of the tokens that a chunk added."""

    content: Sequence[TokenLogprob]
    choice_index: int
    type: Literal["logprobs.content.delta"] = "logprobs.content.delta"


ChatStreamEvent: TypeAlias = (
    ChunkEvent
    | ContentDeltaEvent
    | ContentDoneEvent[T]
    | RefusalDeltaEvent
    | RefusalDoneEvent
    | ReasoningDeltaEvent
    | ReasoningDoneEvent
    | FunctionToolCallArgumentsDeltaEvent
    | FunctionToolCallArgumentsDoneEvent
    | LogprobsContentDeltaEvent
)
"""What `chat.completions.stream` yields; tell them apart by `type`, or by class."""
