"""What the endpoint reads: a reply, wherever it comes from."""

from __future__ import annotations

from typing import Protocol


class Reply(Protocol):
    """A reply on its way to the client.

    Attributes:
        status: HTTP status.
        content_type: Of the body.
        content_length: In bytes as the replica wrote it, or None where the length is not known.
        is_stream: Whether the body is a stream of events.
        is_over: Whether `read` has given everything.
    """

    status: int
    content_type: bytes
    content_length: bytes | None
    is_stream: bool
    is_over: bool

    def begin(self) -> bytes:
        """Give the first bytes to send, without waiting; none if they make no whole event yet."""
        ...

    async def read(self) -> bytes:
        """Give the next bytes to send; none at the end.

        Raises:
            ReplicaError: a reply that is not a stream broke off.
        """
        ...

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of, as far as it came; called once, at its end."""
        ...
