"""Servers of media, names that lead to them, and a fetcher that asks them."""

from __future__ import annotations

import base64
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from lmaas_gateway.policy.fetching import MediaFetcher
from lmaas_gateway.settings import MediaSettings
from support.stub import stub_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from support.stub import Handler

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PUBLIC = "93.184.216.34"
FETCH = MediaSettings(fetch=True, allow_http=True, timeout_s=2)


def ok(content: bytes = PNG, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n" % (len(content), lines) + content


class Names:
    """A resolver of the test's own; every public address is reached on this machine."""

    def __init__(self, port: int, **names: Sequence[Sequence[str]]) -> None:
        self._port = port
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []
        self.reached: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        answers = self._names.get(host, [[PUBLIC]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def reach(self, address: str, port: int) -> tuple[str, int]:
        del port
        self.reached.append(address)
        return "127.0.0.1", self._port


@contextlib.asynccontextmanager
async def fetcher_of(
    handler: Handler, *, tls: tuple[ssl.SSLContext | None, ssl.SSLContext | None] = (None, None), **names: Any
) -> AsyncIterator[tuple[MediaFetcher, Names]]:
    async with stub_server(handler, tls=tls[0]) as port:
        resolver = Names(port, **names)
        fetcher = MediaFetcher(resolve=resolver.resolve, reach=resolver.reach, tls=tls[1])
        try:
            yield fetcher, resolver
        finally:
            await fetcher.close()
