"""`/ui/v1/…`: calls of models from our pages, by the session in place of a key.

The key never reaches a page. A call that is let through here goes to the same endpoint as any other, with
the key of its session as its credential: so scopes, limits, queues, books and revocation are those of that
key. The cookie opens nothing on `/v1/…` itself, which no browser can therefore be made to call for somebody
else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from lmaas_gateway.api.protocol import FIELDS
from lmaas_gateway.errors import AuthenticationError, GatewayError
from lmaas_gateway.relay import error_body
from lmaas_gateway.web.forgery import HEADER, require_own_page, require_token
from lmaas_gateway.web.visitors import with_credential

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lmaas_gateway.web.site import Site

PREFIX = "/ui"


class Forwarded:
    """An endpoint of `/v1/`, for browsers that are signed in.

    Args:
        site: Knows them.
        endpoint: Serves what is let through.
    """

    def __init__(self, site: Site, endpoint: ASGIApp) -> None:
        self._site = site
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            inner = await self._let_through(scope)
        except GatewayError as error:
            headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
            body = error_body(error, None)
            await Response(body, error.status, headers, "application/json")(scope, receive, send)
            return
        await self._endpoint(inner, receive, send)

    async def _let_through(self, scope: Scope) -> dict[str, Any]:
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        door = self._site.door
        cookie = door.cookies.read_from(fields.get("cookie", ""))
        if scope["method"] != "GET":
            require_own_page(fields, scope["scheme"], self._site.public_url)
            require_token(fields.get(HEADER, ""), cookie)
        headers = scope["headers"]
        credential = await door.credential_of(cookie)
        if credential is not None:
            headers = with_credential(headers, credential)
        elif not door.is_open:
            raise AuthenticationError("You are not signed in, or not any more: sign in at /ui.")
        return {
            **scope,
            "path": scope["path"].removeprefix(PREFIX),
            "raw_path": scope["raw_path"].removeprefix(PREFIX.encode()),
            "headers": headers,
            FIELDS: dict(headers),
        }
