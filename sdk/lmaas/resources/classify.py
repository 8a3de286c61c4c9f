"""`client.classify`: the class of a text, from a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import ClassifyParams, ClassifyResponse

_CREATE = Operation.post("/classify", ClassifyParams)


class Classify:
    """Classes of texts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        model: str,
        input: str | Sequence[str] | Sequence[Sequence[int]],  # noqa: A002 - the wire's name
        **params: Unpack[ClassifyParams],
    ) -> ClassifyResponse:
        """Give texts a class: `POST /v1/classify`.

        For classes of your own from a chat model, see `lmaas.tasks`.

        Args:
            model: The name of a classifier.
            input: A text, several, or token ids.
            **params: See `ClassifyParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `ClassifyParams`.
        """
        return self._caller.call(ClassifyResponse, _CREATE, params, model=model, input=input)


class AsyncClassify:
    """The asynchronous twin of `Classify`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        model: str,
        input: str | Sequence[str] | Sequence[Sequence[int]],  # noqa: A002 - the wire's name
        **params: Unpack[ClassifyParams],
    ) -> ClassifyResponse:
        """Give texts a class: `POST /v1/classify`.

        See `Classify.create`.
        """
        return await self._caller.call(ClassifyResponse, _CREATE, params, model=model, input=input)
