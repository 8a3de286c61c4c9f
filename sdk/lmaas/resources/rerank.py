"""`client.rerank`: documents in the order of their relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import RerankParams, RerankResponse

_CREATE = Operation.post("/rerank", RerankParams)


class Rerank:
    """Documents by relevance."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        model: str,
        query: str,
        documents: Sequence[str],
        **params: Unpack[RerankParams],
    ) -> RerankResponse:
        """Order documents by their relevance to a query: `POST /v1/rerank`.

        Args:
            model: The name of a cross-encoder, or of an embedding model, which compares by cosine.
            query: What is looked for.
            documents: Where it is looked for.
            **params: See `RerankParams`; `top_n` keeps the best.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `RerankParams`.
        """
        return self._caller.call(
            RerankResponse, _CREATE, params, model=model, query=query, documents=documents
        )


class AsyncRerank:
    """The asynchronous twin of `Rerank`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        model: str,
        query: str,
        documents: Sequence[str],
        **params: Unpack[RerankParams],
    ) -> RerankResponse:
        """Order documents by their relevance to a query: `POST /v1/rerank`.

        See `Rerank.create`.
        """
        return await self._caller.call(
            RerankResponse, _CREATE, params, model=model, query=query, documents=documents
        )
