"""Read what operators and administrators send: small, and exactly what the schema has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lmaas_gateway.errors import BadRequestError, BodyTooLargeError, InvalidBodyError

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024


async def read_body(request: Request, kind: type[T]) -> T:
    """Read a JSON body.

    Raises:
        BodyTooLargeError: it is longer than anything that is sent here.
        InvalidBodyError: it is not what the schema has.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"The body is longer than {MAX_BODY_BYTES} bytes; send less.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBodyError(f"The body cannot be used: {error}.") from None


def read_query(request: Request, kind: type[T]) -> T:
    """Read the query.

    Raises:
        BadRequestError: it is not what the schema has.
    """
    pairs = request.query_params.multi_items()
    fields: dict[str, Any] = dict(pairs)
    if len(fields) < len(pairs):
        raise BadRequestError("A parameter stands twice in the query; send each once.")
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"The query cannot be used: {error}.") from None
