"""Reading the bodies of calls: none longer than it may be, all together no more than they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmaas_gateway.api.protocol import CONNECTION, CYCLE, FIELDS
from lmaas_gateway.errors import BodiesFullError, BodyTooLargeError, UnsupportedEncodingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from lmaas_gateway.api.client_connection import ClientConnection
    from lmaas_gateway.api.cycle import Cycle
    from lmaas_gateway.call import Exits

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]

# What every connection may hold anyway: so small calls pass however many large ones there are.
_FREE_BYTES = 65536
_RETRY_AFTER_S = 1


class ClientGone(Exception):  # noqa: N818  # an event, not an error of anybody
    """The client closed its connection before it had its reply."""


class BodyRoom:
    """What all long bodies may take of this process's memory, from their first piece to their calls' end.

    Args:
        max_bytes: How much that is.

    Attributes:
        held_bytes: How much they take now.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0


class _Place:
    """The room that one body takes."""

    __slots__ = ("_room", "_size_bytes")

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self._size_bytes = 0

    def grow(self, size_bytes: int) -> None:
        room = self._room
        if room.held_bytes + size_bytes > room.max_bytes:
            raise BodiesFullError(
                "The gateway holds as many long bodies as it may; retry shortly, or send less.",
                retry_after_s=_RETRY_AFTER_S,
            )
        room.held_bytes += size_bytes
        self._size_bytes += size_bytes

    def leave(self) -> None:
        self._room.held_bytes -= self._size_bytes
        self._size_bytes = 0


class BodyReader:
    """Reads bodies of inference calls.

    Args:
        max_bytes: Longer ones are refused before they are read.
        room: What they take together.
    """

    def __init__(self, max_bytes: int, room: BodyRoom) -> None:
        self._max_bytes = max_bytes
        self._room = room

    def take(self, scope: Scope, exits: Exits) -> bytes | None:
        """Give a body that has come whole, as almost every one has; None if it must be waited for: `receive`.

        Args:
            scope: Of the request.
            exits: Give back what it takes when its call ends.

        Raises:
            UnsupportedEncodingError: it is compressed.
            BodyTooLargeError: it is longer than it may be.
            BodiesFullError: it is long, and there is no room.
        """
        fields: Mapping[bytes, bytes] = scope[FIELDS]
        coding = fields.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            raise UnsupportedEncodingError("The body is compressed; send it without Content-Encoding.")
        cycle: Cycle = scope[CYCLE]
        body = cycle.take_body()
        if body is None:
            if int(fields.get(b"content-length", 0)) > self._max_bytes:
                raise self._too_large()
            return None
        if len(body) > self._max_bytes:
            raise self._too_large()
        if len(body) > _FREE_BYTES:
            self._place(exits).grow(len(body) - _FREE_BYTES)
        return body

    async def receive(self, scope: Scope, receive: Receive, exits: Exits) -> bytes:
        """Read a body as it comes.

        Args:
            scope: Of the request.
            receive: As ASGI gives it.
            exits: Give back what it takes when its call ends.

        Raises:
            BodyTooLargeError: it is longer than it may be.
            BodiesFullError: it is long, and there is no room.
            ClientGone: its client left.
        """
        connection: ClientConnection = scope[CONNECTION]
        place = self._place(exits)
        parts = []
        size = 0
        is_whole = False
        while not is_whole:
            if connection.refusal is not None:
                raise connection.refusal
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message["body"]
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise self._too_large()
            if size > _FREE_BYTES:
                place.grow(min(len(part), size - _FREE_BYTES))
            is_whole = not message["more_body"]
        return b"".join(parts)

    def _place(self, exits: Exits) -> _Place:
        place = _Place(self._room)
        exits.append(place.leave)
        return place

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"The body is longer than {self._max_bytes} bytes; send less.")
