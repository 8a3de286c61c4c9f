"""What can be wrong with a network connection: eight toxics, as Toxiproxy names them.

Each works on the bytes of one direction; several work one after another. `down`, the eighth, is no toxic of a
connection but a state of the proxy (`FaultProxy.down`).

Source: https://github.com/Shopify/toxiproxy, README.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes, and when they were read, in seconds of the loop's clock."""

    data: bytes
    read_at_s: float


_NOTHING: tuple[Piece, ...] = ()


class Link(Protocol):
    """One direction of one connection, as a toxic sees it.

    Attributes:
        passed_bytes: How much has been written to the receiver.
    """

    passed_bytes: int

    def reset(self) -> None:
        """Break the connection with an RST, both ways."""

    def close(self) -> None:
        """End the connection in order, both ways."""


class Toxic:
    """Lets everything through; the others change how."""

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Give what becomes of `piece`, when it is due."""
        del link
        yield piece

    async def end(self, link: Link) -> None:
        """Return when the sender's end of file may be passed on."""


@dataclass(frozen=True, slots=True)
class Latency(Toxic):
    """Everything comes `delay_s` late; what follows may be on its way meanwhile."""

    delay_s: float

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Wait until the piece has its age."""
        del link
        loop = asyncio.get_running_loop()
        await asyncio.sleep(piece.read_at_s + self.delay_s - loop.time())
        yield piece


@dataclass(frozen=True, slots=True)
class Bandwidth(Toxic):
    """No more than `bytes_per_s` pass."""

    bytes_per_s: float

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Give a tenth of a second's worth at a time."""
        del link
        size = max(1, int(self.bytes_per_s / 10))
        for start in range(0, len(piece.data), size):
            data = piece.data[start : start + size]
            await asyncio.sleep(len(data) / self.bytes_per_s)
            yield Piece(data, piece.read_at_s)


@dataclass(frozen=True, slots=True)
class SlowClose(Toxic):
    """The end of file comes `delay_s` late."""

    delay_s: float

    async def end(self, link: Link) -> None:
        """Wait."""
        del link
        await asyncio.sleep(self.delay_s)


@dataclass(frozen=True, slots=True)
class Timeout(Toxic):
    """Nothing passes, for ever; after `after_s`, unless that is 0, the connection is closed."""

    after_s: float = 0.0

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Drop the piece."""
        if self.after_s:
            await asyncio.sleep(self.after_s)
            link.close()
        del piece
        for passed in _NOTHING:
            yield passed

    async def end(self, link: Link) -> None:
        """Wait for ever: a silent peer does not say goodbye either."""
        del link
        await asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True)
class ResetPeer(Toxic):
    """The connection breaks with an RST, `after_s` after bytes came."""

    after_s: float = 0.0

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Drop the piece and the connection."""
        await asyncio.sleep(self.after_s)
        link.reset()
        del piece
        for passed in _NOTHING:
            yield passed


@dataclass(frozen=True, slots=True)
class Slicer(Toxic):
    """Bytes come in slices of `size_bytes`, with a pause of `delay_s` after each."""

    size_bytes: int = 1
    delay_s: float = 0.0

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Cut."""
        del link
        for start in range(0, len(piece.data), self.size_bytes):
            yield Piece(piece.data[start : start + self.size_bytes], piece.read_at_s)
            await asyncio.sleep(self.delay_s)


@dataclass(frozen=True, slots=True)
class LimitData(Toxic):
    """The connection is closed once `limit_bytes` have passed."""

    limit_bytes: int

    async def apply(self, piece: Piece, link: Link) -> AsyncIterator[Piece]:
        """Give what is left of the limit, then close."""
        left = max(0, self.limit_bytes - link.passed_bytes)
        if left:
            yield Piece(piece.data[:left], piece.read_at_s)
        if left <= len(piece.data):
            link.close()
