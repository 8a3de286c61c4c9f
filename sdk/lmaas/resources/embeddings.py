"""`client.embeddings`: texts as vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, Unpack, overload

from lmaas._options import NOT_GIVEN, NotGiven
from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import CreateBase64EmbeddingResponse, CreateEmbeddingResponse, EmbeddingParams

Input: TypeAlias = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""A text, several, or the same as token ids."""

_CREATE = Operation.post("/embeddings", EmbeddingParams)


class Embeddings:
    """Vectors of texts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @overload
    def create(
        self,
        *,
        input: Input,
        model: str,
        encoding_format: Literal["float"] | NotGiven = NOT_GIVEN,
        **params: Unpack[EmbeddingParams],
    ) -> CreateEmbeddingResponse: ...
    @overload
    def create(
        self,
        *,
        input: Input,
        model: str,
        encoding_format: Literal["base64"],
        **params: Unpack[EmbeddingParams],
    ) -> CreateBase64EmbeddingResponse: ...
    def create(
        self,
        *,
        input: Input,  # noqa: A002 - the wire's name
        model: str,
        encoding_format: Literal["float", "base64"] | NotGiven = NOT_GIVEN,
        **params: Unpack[EmbeddingParams],
    ) -> CreateEmbeddingResponse | CreateBase64EmbeddingResponse:
        """Turn texts into vectors: `POST /v1/embeddings`.

        Args:
            input: A text or several.
            model: The name of a model that embeds.
            encoding_format: Left out, vectors travel as base64 and come back as floats, which is fastest;
                "base64" gives them back undecoded.
            **params: See `EmbeddingParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `EmbeddingParams`.
        """
        chosen = _format(encoding_format, params.get("extra_body"))
        if encoding_format == "base64":
            base64 = CreateBase64EmbeddingResponse
            return self._caller.call(
                base64, _CREATE, params, model=model, input=input, encoding_format=chosen
            )
        floats = CreateEmbeddingResponse
        return self._caller.call(floats, _CREATE, params, model=model, input=input, encoding_format=chosen)


class AsyncEmbeddings:
    """The asynchronous twin of `Embeddings`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    @overload
    async def create(
        self,
        *,
        input: Input,
        model: str,
        encoding_format: Literal["float"] | NotGiven = NOT_GIVEN,
        **params: Unpack[EmbeddingParams],
    ) -> CreateEmbeddingResponse: ...
    @overload
    async def create(
        self,
        *,
        input: Input,
        model: str,
        encoding_format: Literal["base64"],
        **params: Unpack[EmbeddingParams],
    ) -> CreateBase64EmbeddingResponse: ...
    async def create(
        self,
        *,
        input: Input,  # noqa: A002 - the wire's name
        model: str,
        encoding_format: Literal["float", "base64"] | NotGiven = NOT_GIVEN,
        **params: Unpack[EmbeddingParams],
    ) -> CreateEmbeddingResponse | CreateBase64EmbeddingResponse:
        """Turn texts into vectors: `POST /v1/embeddings`.

        See `Embeddings.create`.
        """
        chosen = _format(encoding_format, params.get("extra_body"))
        if encoding_format == "base64":
            base64 = CreateBase64EmbeddingResponse
            return await self._caller.call(
                base64, _CREATE, params, model=model, input=input, encoding_format=chosen
            )
        floats = CreateEmbeddingResponse
        return await self._caller.call(
            floats, _CREATE, params, model=model, input=input, encoding_format=chosen
        )


def _format(chosen: str | NotGiven, extra_body: Mapping[str, Any] | None) -> str | NotGiven:
    # With another element type or byte order, base64 would not be the float32 that is decoded here.
    if chosen is NOT_GIVEN and not {"embed_dtype", "endianness"} & (extra_body or {}).keys():
        return "base64"
    return chosen
