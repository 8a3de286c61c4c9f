"""Hand inference calls straight to their endpoints, everything else to Starlette.

Starlette's middleware wraps `send` twice, which every event of every stream would pass through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send


class Dispatcher:
    """The outermost application.

    Args:
        endpoints: Applications by path, for POST.
        fallback: Serves everything else: other routes, other methods, lifespan.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp], fallback: ASGIApp) -> None:
        self._endpoints = endpoints
        self._fallback = fallback

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass one request, or the lifespan, on. As a coroutine it would cost each step of the call."""
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None and scope["method"] == "POST":
            return endpoint(scope, receive, send)
        return self._fallback(scope, receive, send)


class Parting:
    """Two listeners, two applications: what comes in at one knows nothing of the other's routes.

    Args:
        port: Of the one that `admin` serves.
        admin: For operators and administrators.
        public: For everybody else; it has the lifespan.
    """

    def __init__(self, port: int, admin: ASGIApp, public: ASGIApp) -> None:
        self._port = port
        self._admin = admin
        self._public = public

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass one request, or the lifespan, on."""
        server = scope.get("server")
        is_admin = server is not None and server[1] == self._port and scope["type"] == "http"
        return (self._admin if is_admin else self._public)(scope, receive, send)
