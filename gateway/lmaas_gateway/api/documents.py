"""The routes of the OpenAPI documents. Each document is written when somebody first asks for it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from lmaas_gateway import __version__
from lmaas_gateway.api.openapi import admin_document, public_document

if TYPE_CHECKING:
    from starlette.requests import Request


async def public(request: Request) -> Response:
    """Answer with the document of the inference routes."""
    del request
    return Response(_public(), media_type="application/json")


async def admin(request: Request) -> Response:
    """Answer with the document of the admin API."""
    del request
    return Response(_admin(), media_type="application/json")


@cache
def _public() -> bytes:
    return msgspec.json.encode(public_document(__version__))


@cache
def _admin() -> bytes:
    return msgspec.json.encode(admin_document(__version__))
