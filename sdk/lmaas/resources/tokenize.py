"""`client.tokenize`: texts as the tokens of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from lmaas._options import NOT_GIVEN, NotGiven
from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import MessageParam, TokenizeParams, TokenizeResponse

_CREATE = Operation.post("/tokenize", TokenizeParams)


class Tokenize:
    """Tokens of texts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        model: str,
        prompt: str | NotGiven = NOT_GIVEN,
        messages: Iterable[MessageParam] | NotGiven = NOT_GIVEN,
        **params: Unpack[TokenizeParams],
    ) -> TokenizeResponse:
        """Turn a text, or a conversation as the model would see it, into tokens: `POST /v1/tokenize`.

        Args:
            model: The name of a model; each has its own tokens.
            prompt: The text. Give this or `messages`.
            messages: The conversation; the model's chat template is applied.
            **params: See `TokenizeParams`; `return_token_strs` gives the texts of the tokens too.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `TokenizeParams`.
        """
        return self._caller.call(
            TokenizeResponse, _CREATE, params, model=model, prompt=prompt, messages=messages
        )


class AsyncTokenize:
    """The asynchronous twin of `Tokenize`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        model: str,
        prompt: str | NotGiven = NOT_GIVEN,
        messages: Iterable[MessageParam] | NotGiven = NOT_GIVEN,
        **params: Unpack[TokenizeParams],
    ) -> TokenizeResponse:
        """Turn a text, or a conversation as the model would see it, into tokens: `POST /v1/tokenize`.

        See `Tokenize.create`.
        """
        return await self._caller.call(
            TokenizeResponse, _CREATE, params, model=model, prompt=prompt, messages=messages
        )
