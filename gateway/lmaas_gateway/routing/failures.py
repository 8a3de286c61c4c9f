"""How an attempt at a replica can fail besides its connection: by its status, or by a reply that is none."""

from __future__ import annotations

from lmaas_gateway.replicas.faults import ReplicaError

# Statuses of a replica that are about itself, not about the request.
_OF_ITS_OWN = frozenset({401, 403, 429})
# What vLLM says of a request that asks for what it cannot do; any other replica would say the same.
_NOT_IMPLEMENTED = 501
# What vLLM says when a request made it fail, and when it fails at every request.
_FAILED = 500
_PAUSES = frozenset({429, 503})


class ReplicaStatusError(ReplicaError):
    """The replica answered with a status that is about itself.

    Attributes:
        retry_after_s: How long it asks to be left alone, if it does.
    """

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"it answered {status}")
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def words(self) -> str | None:
        """What the replica says of itself that may as well be about the call; None if it is not."""
        return str(self) if self.status == _FAILED else None

    @property
    def is_pause(self) -> bool:
        """Whether it only has too much to do: that is not a fault."""
        return self.status in _PAUSES


class ReplicaReplyError(ReplicaError):
    """The replica answered 200 with something that is not a reply to the call."""


class ReplicaStreamError(ReplicaReplyError):
    """The replica answered 200 with a stream that says, before its first token, that it failed."""

    @property
    def words(self) -> str:
        """What the replica says, in ours."""
        return str(self)


def words_of(failure: ReplicaError) -> str | None:
    """Tell how a replica itself says that it failed; None if it could not, or if it is plainly its fault.

    Whoever can say so is alive: the call may be what no replica can answer.
    """
    return failure.words if isinstance(failure, ReplicaStatusError | ReplicaStreamError) else None


def is_about_replica(status: int) -> bool:
    """Tell whether another replica may answer better than with this status."""
    if status == _NOT_IMPLEMENTED:
        return False
    return not 200 <= status < 500 or 300 <= status < 400 or status in _OF_ITS_OWN
