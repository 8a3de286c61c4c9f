"""`client.completions`: plain continuation of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, Unpack, overload

from lmaas._failures import Exchange
from lmaas._request import Operation
from lmaas._streaming import AsyncStream, ChunkReader, Stream
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import Completion, CompletionChoice, CompletionParams

Prompt: TypeAlias = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""A text, several, or the same as token ids."""

_CREATE = Operation.post("/completions", CompletionParams)


class Completions:
    """Continuations of prompts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @overload
    def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: Literal[False] | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...
    @overload
    def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> Stream[Completion]: ...
    @overload
    def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: bool | None,
        **params: Unpack[CompletionParams],
    ) -> Completion | Stream[Completion]: ...
    def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: bool | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion | Stream[Completion]:
        """Continue a prompt: `POST /v1/completions`.

        Args:
            model: The name of a model that generates text.
            prompt: The text, or several; choices of all of them are numbered in one row.
            stream: Give the text as it is made. The stream raises if it does not come whole.
            **params: See `CompletionParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `CompletionParams`.
        """
        if stream:
            return self._caller.stream(_reader, _CREATE, params, model=model, prompt=prompt, stream=True)
        return self._caller.call(Completion, _CREATE, params, model=model, prompt=prompt)


class AsyncCompletions:
    """The asynchronous twin of `Completions`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    @overload
    async def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: Literal[False] | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...
    @overload
    async def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> AsyncStream[Completion]: ...
    @overload
    async def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: bool | None,
        **params: Unpack[CompletionParams],
    ) -> Completion | AsyncStream[Completion]: ...
    async def create(
        self,
        *,
        model: str,
        prompt: Prompt,
        stream: bool | None = None,
        **params: Unpack[CompletionParams],
    ) -> Completion | AsyncStream[Completion]:
        """Continue a prompt: `POST /v1/completions`.

        See `Completions.create`.
        """
        if stream:
            return await self._caller.stream(
                _reader, _CREATE, params, model=model, prompt=prompt, stream=True
            )
        return await self._caller.call(Completion, _CREATE, params, model=model, prompt=prompt)


def _text_of(choice: CompletionChoice) -> str:
    return choice.text


def _reader(reply: Exchange) -> ChunkReader[Completion]:
    return ChunkReader(Completion, _text_of, reply)
