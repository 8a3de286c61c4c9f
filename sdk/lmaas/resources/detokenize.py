"""`client.detokenize`: the text of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import CallOptions, DetokenizeResponse

_CREATE = Operation.post("/detokenize", CallOptions)


class Detokenize:
    """Texts of tokens."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        model: str,
        tokens: Sequence[int],
        **params: Unpack[CallOptions],
    ) -> DetokenizeResponse:
        """Turn tokens back into a text: `POST /v1/detokenize`.

        Args:
            model: The name of the model whose tokens they are.
            tokens: Their ids.
            **params: See `CallOptions`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `CallOptions`.
        """
        return self._caller.call(DetokenizeResponse, _CREATE, params, model=model, tokens=tokens)


class AsyncDetokenize:
    """The asynchronous twin of `Detokenize`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        model: str,
        tokens: Sequence[int],
        **params: Unpack[CallOptions],
    ) -> DetokenizeResponse:
        """Turn tokens back into a text: `POST /v1/detokenize`.

        See `Detokenize.create`.
        """
        return await self._caller.call(DetokenizeResponse, _CREATE, params, model=model, tokens=tokens)
