"""Chat answers that were read into a type of the caller's own."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import Field, PrivateAttr

from lmaas.types.chat import ChatCompletion, ChatCompletionMessage, Choice

T = TypeVar("T")


class ParsedMessage(ChatCompletionMessage, Generic[T]):
    """A message and what its text says as an object: `parsed`, None where the model called tools instead.

    `parsed` stays out of dumps, so that the message can go back to the server as it came.
    """

    parsed: T | None = Field(default=None, exclude=True)


class ParsedChoice(Choice, Generic[T]):
    """One of the `n` answers."""

    message: ParsedMessage[T]


class ParsedChatCompletion(ChatCompletion, Generic[T]):
    """A whole answer, each of its messages parsed."""

    choices: list[ParsedChoice[T]]  # type: ignore[assignment]  # narrower: nobody puts plain choices in
    _rejected: tuple[ParsedChatCompletion[T], ...] = PrivateAttr(default=())

    @property
    def rejected(self) -> tuple[ParsedChatCompletion[T], ...]:
        """Earlier answers that did not validate and were asked for again, each with its own usage."""
        return self._rejected
