"""`/v1/feedback`: callers say what they think of a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from lmaas_gateway.api.callers import identify
from lmaas_gateway.api.reading import read_body
from lmaas_gateway.errors import NotFoundError, RouteNotPermittedError
from lmaas_gateway.policy.places import Places
from lmaas_gateway.quality.opinions import Opinion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from lmaas_gateway.identity.authenticator import Authenticator
    from lmaas_gateway.quality.feedback import FeedbackBox

PATH = "/v1/feedback"

# Each looks a call up and writes a row; those of one tenant leave room for the others'.
_AT_ONCE = 32
_AT_ONCE_EACH = 4
_ENCODE = msgspec.json.Encoder().encode


class FeedbackRoute:
    """The route of callers.

    Args:
        authenticator: Knows the callers.
        box: Keeps what they say; None where nothing is stored.
    """

    def __init__(self, authenticator: Authenticator, box: FeedbackBox | None) -> None:
        self._authenticator = authenticator
        self._box = box
        self._places = Places(_AT_ONCE, _AT_ONCE_EACH)

    def routes(self) -> Iterator[Route]:
        """List it for Starlette."""
        yield Route(PATH, self.create, methods=["POST"])

    async def create(self, request: Request) -> Response:
        """Answer `POST /v1/feedback`."""
        principal = await identify(self._authenticator, request)
        if not principal.scopes.permits_route(PATH):
            raise RouteNotPermittedError(
                f"The API key may not be used on {PATH}; use another, or add the route to its scopes."
            )
        opinion = await read_body(request, Opinion)
        if self._box is None:
            raise NotFoundError(
                "This gateway stores nothing, so it keeps no feedback; serve it without `open`."
            )
        leave = await self._places.take(principal.tenant)
        try:
            accepted = await self._box.take(principal, opinion)
        finally:
            leave()
        return Response(_ENCODE(accepted), media_type="application/json")
