"""A receiver of webhooks on this machine, which checks what it gets as its own code would."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECRET_BYTES = b"webhook-secret-of-32-bytes-here!"
SECRET = "whsec_" + base64.b64encode(SECRET_BYTES).decode()


def verify(headers: dict[str, str], body: bytes, secret: bytes = SECRET_BYTES) -> bool:
    """Check a message after the specification of Standard Webhooks, its signature and its age."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return is_fresh and any(
        hmac.compare_digest(one, f"v1,{wanted}") for one in headers["webhook-signature"].split(" ")
    )


@dataclass
class Delivery:
    """One attempt that came."""

    headers: dict[str, str]
    body: bytes
    at_s: float = field(default_factory=time.monotonic)

    @property
    def event(self) -> dict[str, Any]:
        """The message."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded

    @property
    def is_genuine(self) -> bool:
        """Whether it was signed with the receiver's secret."""
        return verify(self.headers, self.body)


class Receiver:
    """Answers with the statuses that it was given, one an attempt, then with 204."""

    def __init__(self, *statuses: int, headers: str = "") -> None:
        self._statuses = iter(statuses)
        self._headers = headers
        self.attempts: list[Delivery] = []
        self.taken: list[Delivery] = []
        self.url = ""
        self.tasks: set[asyncio.Task[None]] = set()

    def events(self, name: str = "") -> Iterator[tuple[str, str]]:
        """Give name and type of what was taken, all or of one alert."""
        for one in self.taken:
            if name in {"", one.event["data"]["name"]}:
                yield one.event["data"]["name"], one.event["type"]

    async def until(self, condition: Any, *, within_s: float = 10.0) -> None:
        """Wait until enough has come."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one attempt."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._take(reader, writer)
        finally:
            self.tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in lines}
            delivery = Delivery(headers, await reader.readexactly(int(headers["content-length"])))
            self.attempts.append(delivery)
            status = next(self._statuses, 204)
            if status == 204:
                self.taken.append(delivery)
            if status:
                ends = "content-length: 0\r\nconnection: close\r\n\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{self._headers}{ends}".encode())
                await writer.drain()
            else:
                await asyncio.sleep(3600)


@contextlib.asynccontextmanager
async def receiver(*statuses: int, headers: str = "") -> AsyncIterator[Receiver]:
    """Receive until the end of the block; status 0 is no answer at all."""
    found = Receiver(*statuses, headers=headers)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield found
    finally:
        server.close()
        for task in found.tasks:
            task.cancel()
        await asyncio.gather(*found.tasks, return_exceptions=True)
