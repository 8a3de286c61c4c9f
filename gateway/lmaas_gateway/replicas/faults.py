"""What can go wrong between the gateway and a replica."""

from __future__ import annotations

from typing import Literal


class ReplicaError(Exception):
    """A replica could not be reached, or broke off; the message is for logs, not for callers.

    Attributes:
        was_sent_before: The request had been sent already, on a kept connection that then closed.
    """

    was_sent_before = False


class ReplicaConnectError(ReplicaError):
    """No connection could be made: the request has not been sent on it."""


class ReplicaBusyError(ReplicaError):
    """Every connection that the replica may have is in use."""


class ReplicaClosedError(ReplicaError):
    """The connection ended before the reply was whole."""


class ReplicaProtocolError(ReplicaError):
    """The replica sent something that is not HTTP."""


class ReplicaDeadlineError(ReplicaError):
    """A deadline passed; `deadline` says which."""

    def __init__(self, deadline: Literal["connect", "first_byte", "idle", "total"]) -> None:
        super().__init__(f"the {deadline} deadline passed")
        self.deadline = deadline

    @property
    def is_of_call(self) -> bool:
        """Whether it was the call as a whole that had no more time: that says nothing of the replica."""
        return self.deadline == "total"
