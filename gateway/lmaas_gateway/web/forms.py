"""Read what forms of our pages send: few fields, each once, into the schemas of the admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from lmaas_gateway.api.reading import MAX_BODY_BYTES
from lmaas_gateway.errors import BadRequestError, BodyTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

T = TypeVar("T")

_MAX_FIELDS = 200


async def read_form(request: Request) -> dict[str, str]:
    """Read the fields of a form; of those that came several times, all values with newlines between them.

    Raises:
        BadRequestError: it is no form.
        BodyTooLargeError: it is longer than any of ours.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequestError("Send this as a form: `application/x-www-form-urlencoded`.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"The form is longer than {MAX_BODY_BYTES} bytes; send less.")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise BadRequestError("The form cannot be read.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return fields


def convert(fields: Mapping[str, Any], kind: type[T]) -> T:
    """Make a request of the admin API of fields; those that are empty were left out.

    Raises:
        BadRequestError: it is not what the schema has.
    """
    given = {name: value for name, value in fields.items() if value is not None and value != ""}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"The form cannot be used: {error}.") from None


def lines(text: str) -> list[str]:
    """Give the lines, or parts between commas, of a field that takes several values."""
    return [part for part in (part.strip() for part in text.replace(",", "\n").splitlines()) if part]
