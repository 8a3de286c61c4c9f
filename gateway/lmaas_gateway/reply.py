"""What the endpoint reads: a reply, wherever it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lmaas_gateway.errors import GatewayError


class Outlet(Protocol):
    """Where pieces of a reply go."""

    def is_free(self) -> bool:
        """Tell whether a piece can be written without waiting."""
        ...

    def write(self, data: bytes) -> None:
        """Write a piece; only while it is free."""
        ...

    def write_chunk(self, chunk: bytes) -> None:
        """Write a piece that is one chunk of HTTP already, with its size; only while it is free."""
        ...


def data_of(chunk: bytes) -> bytes:
    """Give what one whole chunk of HTTP holds, between its size and its line end."""
    return chunk[chunk.index(b"\n") + 1 : -2]


class Allowance(Protocol):
    """How many tokens a stream may have, where more must be had as it goes.

    Attributes:
        completion_tokens: So many, for now.
    """

    @property
    def completion_tokens(self) -> int:
        """So many, for now."""

    def extend_now(self) -> bool:
        """Have more, if that needs no waiting."""
        ...

    async def extend(self) -> GatewayError | None:
        """Have more, or tell which limit has no more."""
        ...


class Reply(Protocol):
    """A reply on its way to the client.

    Attributes:
        status: HTTP status.
        content_type: Of the body.
        content_length: In bytes as the replica wrote it, or None where the length is not known.
        is_stream: Whether the body is a stream of events.
    """

    status: int
    content_type: bytes
    content_length: bytes | None
    is_stream: bool

    @property
    def is_over(self) -> bool:
        """Whether `read` has given everything."""
        ...

    def begin(self) -> bytes:
        """Give the first bytes to send, without waiting; none if they make no whole event yet."""
        ...

    async def read(self, outlet: Outlet | None = None) -> bytes:
        """Give the next bytes to send; none at the end.

        Args:
            outlet: Where the reply may itself write what comes, before it gives what comes then.

        Raises:
            ReplicaError: a reply that is not a stream broke off.
        """
        ...

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of, as far as it came; called once, at its end."""
        ...
