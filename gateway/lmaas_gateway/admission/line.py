"""What may go to a pool, what waits and what is refused: the decisions, without loop or clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmaas_gateway.admission.drain import DrainRate
from lmaas_gateway.admission.fair_queue import FairQueue, Holder, Ticket

Reason = Literal["queue_full", "share_full", "wait_too_long", "shed", "timeout", "deadline"]


_STANDING_PART = 4
"""How much shorter a queue is that stands than one that rides a burst out."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of a queue.

    Attributes:
        max_queued: How many calls may wait.
        timeout_s: How long each may wait.
        reserve: Part of the capacity that is kept for tenants who hold little; 0 keeps none.
        is_shared: Whether there is more than one tenant.
    """

    max_queued: int
    timeout_s: float
    reserve: float
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not taken.

    Attributes:
        position: The place among those that wait that it would have had.
        wait_s: How long it would have waited there; None if that cannot be estimated.
    """

    reason: Reason
    position: int
    wait_s: float | None


class Line:
    """The calls that a pool works on for this process, and those that wait for it.

    Attributes:
        rules: May be replaced at any time; what waits stays.
        limit: How many places may be taken here; kept up to date by whoever owns the line.
        reserve: How many of the pool's places are kept for tenants who hold fewer than that.
        max_tokens: No further call goes while more tokens than that are in flight.
        places: How many places the calls in flight here take: one for each sequence that an engine works on.
        tokens: Their estimated tokens.
    """

    __slots__ = (
        "_waited_since_s",
        "drain",
        "limit",
        "max_tokens",
        "places",
        "queue",
        "reserve",
        "rules",
        "tokens",
    )

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.limit = 0
        self.reserve = 0
        self.max_tokens = float("inf")
        self.places = 0
        self.tokens = 0
        self.queue = FairQueue()
        self.drain = DrainRate()
        self._waited_since_s = 0.0

    def resize(self, capacity: int, *, elsewhere: int = 0, share: int | None = None) -> None:
        """Take note of how many places the pool has.

        Args:
            capacity: For all processes together.
            elsewhere: How many of them the others take.
            share: The most that this process may have while others of them wait.
        """
        limit = capacity - elsewhere
        self.limit = limit if share is None else min(limit, share)
        self.reserve = int(capacity * self.rules.reserve) if self.rules.is_shared else 0

    def may_go(self, ticket: Ticket) -> bool:
        """Tell whether a call may go now: the last places are for those who hold little.

        One place must be free, however many the call takes: so the heaviest waits no longer than others, and
        what it takes beyond the limit must be free again before the next one goes.
        """
        free = self.limit - self.places
        if free <= 0 or self.tokens >= self.max_tokens:
            return False
        return free > self.reserve or ticket.holder.places + ticket.places <= self.reserve

    def enter(self, holder: Holder, tokens: int, places: int = 1) -> None:
        """Take note of a call that goes; a `leave` with the same numbers must follow."""
        self.places += places
        self.tokens += tokens
        holder.places += places

    def leave(self, holder: Holder, tokens: int, places: int = 1) -> None:
        """Take note of a call that has ended."""
        self.places -= places
        self.tokens -= tokens
        holder.places -= places
        if self.queue.depth:
            self.drain.count()

    def join(self, ticket: Ticket, now_s: float) -> Refusal | Ticket | None:
        """Let a call wait, or say why not.

        Returns:
            The refusal; or another call, of a lower class, that had to make way and was taken out; or None.
        """
        queue, holder = self.queue, ticket.holder
        ticket.position = position = queue.position(holder, ticket.lane)
        # An empty queue drains at no pace: what was measured before may be long past, and is not measured
        # anew while nothing waits.
        wait_s = self.drain.wait_s(position) if queue.depth else None
        if wait_s is not None and wait_s > self._patience_s(ticket, now_s):
            reason: Reason = "share_full" if self._is_own_fault(ticket) else "wait_too_long"
            return Refusal(reason, position, wait_s)
        free = self.rules.max_queued - queue.depth
        if self.rules.is_shared and 0 < free <= holder.queued / holder.weight:
            return Refusal("share_full", position, wait_s)
        shed = queue.shed(ticket.lane) if free <= 0 else None
        if free <= 0 and shed is None:
            reason = "share_full" if self._is_own_fault(ticket) else "queue_full"
            return Refusal(reason, position, wait_s)
        if not queue.depth:
            self.drain.begin(now_s)
            self._waited_since_s = now_s
        queue.push(ticket)
        return shed

    def next(self) -> Ticket | None:
        """Let the next call go that may, if there is one."""
        if self.places >= self.limit:
            return None
        ticket = self.queue.next(self.may_go)
        if ticket is not None:
            self.enter(ticket.holder, ticket.tokens, ticket.places)
        return ticket

    def expire(self, now_s: float) -> list[Ticket]:
        """Take out the calls that have waited too long."""
        self.drain.sample(now_s)
        expired = [ticket for ticket in self.queue if ticket.expires_s <= now_s]
        for ticket in expired:
            self.queue.remove(ticket)
        return expired

    def _patience_s(self, ticket: Ticket, now_s: float) -> float:
        """Tell how long a call may have to wait.

        A queue as long as a call may wait rides a burst out. One that has stood for longer than that only
        makes everybody wait, and takes as long again to go when the overload is over.
        """
        patience_s = ticket.expires_s - now_s
        is_standing = self.queue.depth and now_s - self._waited_since_s > self.rules.timeout_s
        return min(patience_s, self.rules.timeout_s / _STANDING_PART) if is_standing else patience_s

    def _is_own_fault(self, ticket: Ticket) -> bool:
        """Tell whether a tenant's own waiting calls fill its part of the queue."""
        holder = ticket.holder
        return self.rules.is_shared and holder.queued > 0 and self.queue.has_its_share(holder, ticket.lane)
