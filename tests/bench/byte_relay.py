"""A relay that only copies bytes from a port to a socket and back: what any process in between costs.

python tests/bench/byte_relay.py 9001 /path/to.sock
python tests/bench/byte_relay.py 9001 http://127.0.0.1:9002
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast
from urllib.parse import urlsplit

import uvloop


class _Side(asyncio.Protocol):
    """One of two connections that are joined; what comes before the other one stands is kept."""

    def __init__(self) -> None:
        self.other: _Side | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.other is not None:
            self.other.transport.close()

    def join(self, other: _Side) -> None:
        self.other, other.other = other, self
        other.transport.write(self._early)


async def main(port: int, target: str) -> None:
    """Relay until stopped."""
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()
    address = urlsplit(target)

    async def join(client: _Side) -> None:
        if address.scheme:
            _, replica = await loop.create_connection(_Side, address.hostname or "", address.port or 80)
        else:
            _, replica = await loop.create_unix_connection(_Side, target)
        client.join(replica)

    def connect() -> _Side:
        client = _Side()
        task = loop.create_task(join(client))
        joining.add(task)
        task.add_done_callback(joining.discard)
        return client

    async with await loop.create_server(connect, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
