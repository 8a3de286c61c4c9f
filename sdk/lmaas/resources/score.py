"""`client.score`: the likeness of two texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import ScoreParams, ScoreResponse

_CREATE = Operation.post("/score", ScoreParams)


class Scores:
    """Scores of pairs of texts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        model: str,
        text_1: str | Sequence[str],
        text_2: str | Sequence[str],
        **params: Unpack[ScoreParams],
    ) -> ScoreResponse:
        """Score pairs of texts: `POST /v1/score`.

        Args:
            model: The name of a cross-encoder, or of an embedding model, which compares by cosine.
            text_1: A text, which is paired with each of `text_2`; or as many as there.
            text_2: A text, or several.
            **params: See `ScoreParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `ScoreParams`.
        """
        return self._caller.call(ScoreResponse, _CREATE, params, model=model, text_1=text_1, text_2=text_2)


class AsyncScores:
    """The asynchronous twin of `Scores`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        model: str,
        text_1: str | Sequence[str],
        text_2: str | Sequence[str],
        **params: Unpack[ScoreParams],
    ) -> ScoreResponse:
        """Score pairs of texts: `POST /v1/score`.

        See `Scores.create`.
        """
        return await self._caller.call(
            ScoreResponse, _CREATE, params, model=model, text_1=text_1, text_2=text_2
        )
