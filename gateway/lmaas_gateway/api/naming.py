"""Every answer says which request it is of; those of inference calls do so themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.api.inference import read_request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Naming:
    """Gives answers their `x-request-id`: the client's, if it can be used, or one that is made here.

    Args:
        application: Whose answers.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request, or the lifespan, on."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        request_id = read_request_id(dict(scope["headers"])).encode()

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id)]}
            await send(message)

        await self._application(scope, receive, send_named)
