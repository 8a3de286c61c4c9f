"""What stages note of a call on its way, for whoever explains it: choices, waits, failures, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# What was done to a call, as bits of `Meter.applied`.
SALT, USAGE, MEDIA, BOUND, PRIORITY, NO_RETRY, SEALED, STORED, TRACED = (1 << bit for bit in range(9))


class Failure(NamedTuple):
    """An attempt at a replica that failed before a byte of its reply reached the client.

    Attributes:
        reason: `connect`, `busy`, `closed`, `deadline`, `protocol`, `reply` or `status`.
        status: HTTP status of the replica, where that is the reason; else 0.
        took_us: How long the attempt took.
    """

    model: str
    replica: str
    reason: str
    status: int
    took_us: int


class Fallback(NamedTuple):
    """A model that could not serve the call, so that the next of its plan was asked; and why, as a code."""

    model: str
    code: str


class Wait(NamedTuple):
    """What stood before a call that had to wait for its turn.

    Attributes:
        position: Its place among those that wait.
        in_flight: How many sequences the pool was working on for this process.
        capacity: How many it might work on for it at once.
    """

    position: int
    in_flight: int
    capacity: int


class Named(Protocol):
    """A replica, as far as records go."""

    name: str


ReplicaT = TypeVar("ReplicaT", bound=Named)


class Choice(msgspec.Struct, Generic[ReplicaT], frozen=True, gc=False):
    """How one of several replicas was chosen.

    Attributes:
        replica: Which.
        policy: What chose.
        candidates: Among whom.
        loads: What each had outstanding, in tokens by its weight; empty if nobody looked.
        worth: What each was worth for having read some of the prompt, in the same measure; likewise.
    """

    replica: ReplicaT
    policy: str
    candidates: Sequence[ReplicaT]
    loads: list[float]
    worth: list[float]
