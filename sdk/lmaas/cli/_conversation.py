"""A conversation with one model: what was said, and the next answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from lmaas import LMaaS
    from lmaas.types import ChatCompletionMessageParam, ChatCompletionParams


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are made; what is None is left to the server."""

    max_tokens: int | None = None
    temperature: float | None = None

    def params(self) -> ChatCompletionParams:
        """Return what was chosen, as parameters of a call."""
        params: ChatCompletionParams = {}
        if self.max_tokens is not None:
            params["max_tokens"] = self.max_tokens
        if self.temperature is not None:
            params["temperature"] = self.temperature
        return params


class Conversation:
    """Holds the turns of a conversation.

    Args:
        client: Makes the calls.
        model: Answers.
        system: What the model is told before everything else.
    """

    def __init__(self, client: LMaaS, model: str, sampling: Sampling, *, system: str | None = None) -> None:
        self._client = client
        self._sampling = sampling
        self._turns: list[ChatCompletionMessageParam] = []
        self.model = model
        self.system = system

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()

    def answer(self, text: str) -> Generator[str, None, None]:
        """Yield the answer to `text`, piece by piece.

        Close the generator to stop the answer. What was said by then belongs to the conversation; a question
        that got no answer at all does not.

        Raises:
            APIError: the call failed.
        """
        question: ChatCompletionMessageParam = {"role": "user", "content": text}
        said: list[str] = []
        try:
            for piece in self._stream([*self._opening(), *self._turns, question]):
                said.append(piece)
                yield piece
        finally:
            if said:
                self._turns += [question, {"role": "assistant", "content": "".join(said)}]

    def _opening(self) -> list[ChatCompletionMessageParam]:
        return [{"role": "system", "content": self.system}] if self.system else []

    def _stream(self, messages: list[ChatCompletionMessageParam]) -> Iterator[str]:
        with self._client.chat.completions.create(
            model=self.model, messages=messages, stream=True, **self._sampling.params()
        ) as stream:
            for chunk in stream:
                yield from (choice.delta.content for choice in chunk.choices if choice.delta.content)
