"""A browser of a few lines: it keeps cookies, says where requests come from, and sends tokens with forms."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from support.stub import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.serving import Running
    from support.stub import Response

_TOKEN = re.compile(r'<meta name="csrf-token" content="([^"]+)"')


class Browser:
    """Looks at the pages of one gateway.

    Args:
        running: That gateway.
        language: What it prefers to read.

    Attributes:
        cookies: What it was told to keep, by name.
        token: The CSRF token of the page that it looks at.
    """

    def __init__(self, running: Running, language: str = "en", port: int = 0) -> None:
        self.host = f"127.0.0.1:{port or running.port}"
        self.cookies: dict[str, str] = {}
        self.token = ""
        self._port = port or running.port
        self._language = language

    async def get(self, path: str, *headers: str) -> Response:
        """Look at a page."""
        return await self._send("GET", path, b"", headers)

    async def post(
        self, path: str, fields: Mapping[str, object] | None = None, *headers: str, token: str | None = None
    ) -> Response:
        """Send a form of the page that it looks at."""
        given = {"csrf": self.token if token is None else token, **(fields or {})}
        own = ("content-type: application/x-www-form-urlencoded", *(headers or self.own_page()))
        return await self._send("POST", path, urlencode(given, doseq=True).encode(), own)

    async def follow(self, path: str, fields: Mapping[str, object] | None = None) -> Response:
        """Send a form and look at the page that it leads to."""
        reply = await self.post(path, fields)
        assert reply.status == 303, (reply.status, text_of(reply))
        return await self.get(reply.headers["location"])

    async def sign_in(self, key: str) -> Response:
        """Sign in; give the answer."""
        await self.get("/ui/sign-in")
        reply = await self.post("/ui/sign-in", {"key": key})
        if reply.status == 303:
            await self.get("/ui")
        return reply

    def own_page(self) -> tuple[str, ...]:
        """What a browser says of a request that a page of this gateway makes."""
        return (f"origin: http://{self.host}", "sec-fetch-site: same-origin")

    def cookie(self) -> str:
        """The header that it sends."""
        return "cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    async def _send(self, method: str, path: str, body: bytes, headers: tuple[str, ...]) -> Response:
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}", f"content-length: {len(body)}"]
        lines += [f"accept-language: {self._language}", *headers]
        if self.cookies:
            lines.append(self.cookie())
        reply = await ask(self._port, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        if "set-cookie" in reply.headers:
            name, _, value = reply.headers["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value
        found = _TOKEN.search(reply.body.decode(errors="replace"))
        if found is not None:
            self.token = unescape(found[1])
        return reply


def text_of(reply: Response) -> str:
    """What a page says, without its markup."""
    return unescape(re.sub(r"<[^>]+>", " ", reply.body.decode()))
