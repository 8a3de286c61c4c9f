"""What the results of all tasks have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Discriminator, Tag

from lmaas.types import ChatCompletion, Completion, ReplyModel


def _kind(value: object) -> str:
    name = value.get("object") if isinstance(value, dict) else getattr(value, "object", None)
    return "chat" if name == "chat.completion" else "text"


RawCompletion: TypeAlias = Annotated[
    Annotated[ChatCompletion, Tag("chat")] | Annotated[Completion, Tag("text")], Discriminator(_kind)
]
"""What a model said, as the server sent it."""


@dataclass(frozen=True, slots=True)
class TaskUsage:
    """Tokens of all calls of a task, added up.

    Attributes:
        calls: Calls that reached the server; remembered replies are not counted again.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(cls, replies: Iterable[ReplyModel]) -> TaskUsage:
        """Add up what the server counted; tokenising is a call without usage."""
        prompt = completion = calls = 0
        for reply in replies:
            calls += 1
            usage = getattr(reply, "usage", None)
            if usage is not None:
                prompt += usage.prompt_tokens
                completion += usage.completion_tokens or 0
        return cls(prompt, completion, calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a task found, and what it took.

    Attributes:
        usage: Tokens, summed over the calls.
        latency_s: Seconds from the first call to the result.
        completions: What the model said, as the server sent it, in the order of the calls.
    """

    usage: TaskUsage = TaskUsage()
    latency_s: float = 0.0
    completions: tuple[RawCompletion, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the text: `text == source[start:end]`, counted in code points.

    Attributes:
        is_exact: Whether the model quoted it letter by letter, not only up to case, width and blanks.
    """

    start: int
    end: int
    text: str
    is_exact: bool = True
