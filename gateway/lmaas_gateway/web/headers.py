"""What every answer below `/ui` says to browsers: what a page may load, and who may hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing of another host, and nothing inline: what gets into a page as text stays text."""

# Not `no-referrer`: with it browsers send forms with `Origin: null`, and then nobody can tell whose they are.
_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE = (b"cache-control", b"no-store")


class SafeHeaders:
    """Gives all answers of an application these headers; what says nothing of caches is kept in none.

    Args:
        application: Whose answers.
        is_https: Whether browsers reach it over HTTPS, and are to use nothing else from now on.
    """

    def __init__(self, application: ASGIApp, *, is_https: bool) -> None:
        self._application = application
        self._headers = [*_HEADERS, *([_STRICT_TRANSPORT] if is_https else ())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message["headers"], *self._headers]
                if all(name != b"cache-control" for name, _ in given):
                    given.append(_NO_STORE)
                message = {**message, "headers": given}
            await send(message)

        await self._application(scope, receive, send_safely)
