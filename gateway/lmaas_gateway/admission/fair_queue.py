"""A queue that is fair between tenants: plain data, without clock, loop or limits.

Three lanes, one a priority class: a lane is served only while no call of the lanes before it can go. Within
a lane tenants take turns by start-time fair queueing: each call costs its tokens divided by its
tenant's weight, and the tenant whose next call begins first in that virtual time goes first. A
tenant's own calls keep their order.

Source: Goyal, Vin, Cheng, "Start-time fair queuing", SIGCOMM 1996, §2.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from lmaas_gateway.errors import GatewayError

LANES = ("high", "normal", "low")
"""The priority classes, the first one first."""


def lane_of(priority: int) -> int:
    """Give the lane of a priority as vLLM counts them: lower is earlier, 0 is normal."""
    return (priority > 0) - (priority < 0) + 1


class Holder:
    """A tenant, as one pool knows it.

    Attributes:
        weight: Its part relative to other tenants.
        places: How many places its calls in flight take.
        queued: How many of its calls wait.
        finish: Per lane, the virtual time at which the last call that was let through from there is paid for.
    """

    __slots__ = ("finish", "places", "queued", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.places = 0
        self.queued = 0
        self.finish = [0.0] * len(LANES)


class Ticket:
    """One call that waits.

    Attributes:
        lane: Index of its priority class in `LANES`.
        tokens: What it costs.
        places: How many it takes.
        joined_s: When it began to wait.
        expires_s: When it has waited long enough.
        position: Its estimated place among those that wait, when it came; 1 is the next to go.
        is_waiting: Whether it stands in the queue.
        future: Wakes whoever waits for it, with the reason if it is not let through. Not the queue's.
    """

    __slots__ = (
        "expires_s",
        "future",
        "holder",
        "is_waiting",
        "joined_s",
        "lane",
        "places",
        "position",
        "tokens",
    )

    def __init__(
        self,
        holder: Holder,
        lane: int,
        tokens: int,
        *,
        joined_s: float,
        expires_s: float,
        places: int = 1,
    ) -> None:
        self.holder = holder
        self.lane = lane
        self.tokens = tokens
        self.places = places
        self.joined_s = joined_s
        self.expires_s = expires_s
        self.position = 0
        self.is_waiting = False
        self.future: asyncio.Future[GatewayError | None] | None = None


class _Flow:
    """The waiting calls of one tenant in one lane, the oldest first."""

    __slots__ = ("is_in_turn", "tickets")

    def __init__(self) -> None:
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.is_in_turn = False


class _Lane:
    """The flows of one priority class.

    Attributes:
        now: The virtual time: when the call that was let through last began.
        tickets: All that wait here, the oldest first.
        weight: The sum of the weights of the tenants who wait here.
    """

    __slots__ = ("_flows", "_index", "_numbers", "_turns", "now", "tickets", "weight")

    def __init__(self, index: int) -> None:
        self._index = index
        self._flows: dict[Holder, _Flow] = {}
        self._turns: list[tuple[float, int, int, Holder]] = []
        self._numbers = count()
        self.now = 0.0
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.weight = 0.0

    @property
    def tenants(self) -> int:
        """How many tenants wait here, about: one who has just left may be among them."""
        return len(self._flows)

    def queued(self, holder: Holder) -> int:
        flow = self._flows.get(holder)
        return 0 if flow is None else len(flow.tickets)

    def push(self, ticket: Ticket) -> None:
        holder = ticket.holder
        flow = self._flows.get(holder)
        if flow is None:
            flow = self._flows[holder] = _Flow()
        if not flow.tickets:
            self.weight += holder.weight
        flow.tickets[ticket] = None
        self.tickets[ticket] = None
        if not flow.is_in_turn:
            flow.is_in_turn = True
            self._take_turn(holder, max(self.now, holder.finish[self._index]))

    def remove(self, ticket: Ticket) -> None:
        holder = ticket.holder
        flow = self._flows[holder]
        del flow.tickets[ticket]
        del self.tickets[ticket]
        if not flow.tickets:
            self.weight = self.weight - holder.weight if self.tickets else 0.0
            if not flow.is_in_turn:
                del self._flows[holder]

    def next(self, may_go: Callable[[Ticket], bool]) -> Ticket | None:
        """Take out the next ticket, of the first of each tenant, that may go, and charge it."""
        passed_over = []
        found = None
        while self._turns and found is None:
            turn = heappop(self._turns)
            holder = turn[-1]
            flow = self._flows[holder]
            first = next(iter(flow.tickets), None)
            if first is None:
                del self._flows[holder]
            elif may_go(first):
                found = first
                self._charge(found, flow, turn[0])
            else:
                passed_over.append(turn)
        for turn in passed_over:
            heappush(self._turns, turn)
        return found

    def _charge(self, ticket: Ticket, flow: _Flow, start: float) -> None:
        holder = ticket.holder
        flow.is_in_turn = False
        # A tenant who was passed over meanwhile begins late, but never in the past of the others.
        self.now = max(self.now, start)
        finish = holder.finish[self._index] = start + ticket.tokens / holder.weight
        self.remove(ticket)
        if flow.tickets:
            flow.is_in_turn = True
            self._take_turn(holder, finish)

    def _take_turn(self, holder: Holder, start: float) -> None:
        # Of those with equal claims, who holds less goes first, and then who came first.
        heappush(self._turns, (start, holder.places, next(self._numbers), holder))


class FairQueue:
    """The calls that wait for one pool.

    Attributes:
        depth: How many wait.
    """

    def __init__(self) -> None:
        self._lanes = tuple(_Lane(index) for index in range(len(LANES)))
        self.depth = 0

    def __iter__(self) -> Iterator[Ticket]:
        for lane in self._lanes:
            yield from lane.tickets

    def depth_of(self, lane: int) -> int:
        """Tell how many wait in a lane."""
        return len(self._lanes[lane].tickets)

    def push(self, ticket: Ticket) -> None:
        """Let a call wait."""
        self.depth += 1
        ticket.holder.queued += 1
        ticket.is_waiting = True
        self._lanes[ticket.lane].push(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take out a call that waits no longer, wherever it stands; it costs its tenant nothing."""
        self._lanes[ticket.lane].remove(ticket)
        self._note_out(ticket)

    def next(self, may_go: Callable[[Ticket], bool]) -> Ticket | None:
        """Take out the call whose turn it is, of those that may go."""
        for lane in self._lanes:
            if lane.tickets and (ticket := lane.next(may_go)) is not None:
                self._note_out(ticket)
                return ticket
        return None

    def shed(self, lane: int) -> Ticket | None:
        """Take out the youngest call of the last lane that has any, if that lane comes after `lane`."""
        for lower in reversed(self._lanes[lane + 1 :]):
            if lower.tickets:
                ticket = next(reversed(lower.tickets))
                self.remove(ticket)
                return ticket
        return None

    def has_its_share(self, holder: Holder, lane: int) -> bool:
        """Tell whether `holder` has at least its part, by weight, of the calls that wait in `lane`."""
        own = self._lanes[lane]
        return own.queued(holder) * own.weight >= len(own.tickets) * holder.weight

    def position(self, holder: Holder, lane: int) -> int:
        """Estimate the place that a further call of `holder` would have; 1 is the next to go.

        All of the lanes before it go first. In its own lane others go between its calls as their weights say,
        but never more of them than there are.
        """
        before = sum(len(earlier.tickets) for earlier in self._lanes[:lane])
        own = self._lanes[lane]
        waiting = own.queued(holder)
        weights = own.weight if waiting else own.weight + holder.weight
        # One call of each other tenant may have an older claim than the first one of this.
        turns = 1 + own.tenants - (waiting > 0) + int(waiting * weights / holder.weight)
        return before + min(turns, len(own.tickets) + 1)

    def _note_out(self, ticket: Ticket) -> None:
        ticket.is_waiting = False
        self.depth -= 1
        ticket.holder.queued -= 1
