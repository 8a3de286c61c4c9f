"""The gate of one pool: lets calls through at once, or has them wait for their turn."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from lmaas_gateway.admission.fair_queue import LANES, Holder, Ticket, lane_of
from lmaas_gateway.admission.line import Line, Refusal
from lmaas_gateway.admission.priority import priority_of
from lmaas_gateway.admission.verdicts import explain
from lmaas_gateway.notes import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.admission.line import Reason, Rules
    from lmaas_gateway.board import SharedBoard
    from lmaas_gateway.call import Call, Principal
    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.pool import Pool

_SWEEP_S = 0.05
# A place that another worker gives back is seen by looking only.
_SHARED_SWEEP_S = 0.005
_MAX_HOLDERS = 4096


class SharedPlaces:
    """What the workers of one gateway tell each other of a pool.

    Attributes:
        taken: How many places calls in flight take.
        queued: How many calls wait.
        workers: How many workers there are.
    """

    __slots__ = ("queued", "taken", "workers")

    def __init__(self, board: SharedBoard, pool: str, workers: int) -> None:
        self.taken = board.number(f"admitted {pool}")
        self.queued = board.number(f"queued {pool}")
        self.workers = workers


class Gate:
    """Admits calls to one pool.

    Args:
        pool: Its replicas tell the capacity.
        rules: The bounds of its queue.
        metrics: Counts waits and refusals.
        shared: What several workers share; None for one process.
        clock: Monotonic seconds, as the event loop counts them.
    """

    def __init__(
        self,
        pool: Pool,
        rules: Rules,
        metrics: Metrics,
        *,
        shared: SharedPlaces | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = Line(rules)
        self._metrics = metrics
        self._shared = shared
        self._clock = clock
        self._holders: dict[str, Holder] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._shared_depth = 0
        self.bind(pool, rules)

    def bind(self, pool: Pool, rules: Rules) -> None:
        """Go on with another state of the pool and other rules; what is in flight and what waits stays."""
        self.pool = pool
        self._line.rules = rules
        # While one replica alone could take everything, nobody needs to look at what is available.
        places = [replica.max_in_flight for replica in pool.replicas]
        alone, self._most = min(places, default=0), max(places, default=1)
        kept = int(rules.reserve * sum(places))
        is_counted_in_tokens = pool.max_in_flight_tokens is not None
        self._easy = 0 if is_counted_in_tokens else alone - (kept if rules.is_shared else 0)
        self._refresh()

    @property
    def in_flight(self) -> int:
        """How many places of the pool this process takes."""
        return self._line.places

    @property
    def capacity(self) -> int:
        """How many places the available replicas have, for all workers together."""
        return sum(replica.max_in_flight for replica in self.pool.candidates(()))

    def depth(self, lane: int) -> int:
        """Tell how many calls wait in one lane of this process."""
        return self._line.queue.depth_of(lane)

    def places_of(self, call: Call) -> int:
        """Tell how many places a call takes: one for each sequence, but no more than its replica has."""
        return min(call.sequences, self._most)

    def enter(self, principal: Principal, call: Call, places: int) -> Holder | None:
        """Let a call through if there is plenty of room and nobody waits; if None comes, `wait`.

        Returns:
            In whose name the call is in; with it a `leave` must follow.
        """
        line, shared = self._line, self._shared
        taken = line.places if shared is None else shared.taken.total()
        if taken >= self._easy or line.queue.depth:
            return None
        holder = self._holders.get(principal.tenant) or self._meet(principal)
        line.enter(holder, call.tokens, places)
        if shared is not None:
            shared.taken.add(places)
        return holder

    async def wait(self, principal: Principal, call: Call, places: int, meter: Meter) -> Holder:
        """Let a call through when its turn comes, which may be at once.

        Returns:
            In whose name the call is in; with it a `leave` must follow.

        Raises:
            QueueShareFullError: the tenant's own calls fill its share of the queue.
            QueueFullError: the queue is full.
            QueueWaitError: the call would not get through in time.
            QueueTimeoutError: it did not.
            CallShedError: it made way for a call of a higher priority.
        """
        holder = self._meet(principal)
        if not self._refresh():
            # Nothing to wait for: whoever tries to forward the call tells what is wrong with the pool.
            self._enter(holder, call.tokens, places)
            return holder
        ticket = self._ticket_of(holder, principal, call, places)
        self._join(ticket, meter)
        future = ticket.future = asyncio.get_running_loop().create_future()
        self._dispatch()
        if not future.done():
            await self._turn_of(ticket, future, meter)
        return holder

    def leave(self, holder: Holder, tokens: int, places: int) -> None:
        """Take note of a call that has ended; the next one goes."""
        line = self._line
        line.leave(holder, tokens, places)
        if self._shared is not None:
            self._shared.taken.add(-places)
        if line.queue.depth:
            self._refresh()
            self._dispatch()

    def _enter(self, holder: Holder, tokens: int, places: int) -> None:
        self._line.enter(holder, tokens, places)
        if self._shared is not None:
            self._shared.taken.add(places)

    def _ticket_of(self, holder: Holder, principal: Principal, call: Call, places: int) -> Ticket:
        now_s = self._clock()
        expires_s = min(now_s + self._line.rules.timeout_s, call.deadline_s)
        lane = lane_of(priority_of(call, principal))
        return Ticket(holder, lane, call.tokens, joined_s=now_s, expires_s=expires_s, places=places)

    def _join(self, ticket: Ticket, meter: Meter) -> None:
        other = self._line.join(ticket, ticket.joined_s)
        if isinstance(other, Refusal):
            meter.reply_headers.append((b"x-lmaas-queue-position", b"%d" % ticket.position))
            raise self._refuse(other)
        if other is not None:
            self._end(other, "shed")

    async def _turn_of(
        self, ticket: Ticket, future: asyncio.Future[GatewayError | None], meter: Meter
    ) -> None:
        """Wait until a ticket is let through, or raise why it is not."""
        if self._sweeper is None:
            self._sweep_later()
        line = self._line
        meter.wait = Wait(ticket.position, line.places, max(0, line.limit))
        try:
            error = await future
        except asyncio.CancelledError:
            self._abandon(ticket, future)
            raise
        waited_s = meter.queued_s = self._clock() - ticket.joined_s
        meter.reply_headers += (
            (b"x-lmaas-queue-position", b"%d" % ticket.position),
            (b"x-lmaas-queue-wait-ms", b"%d" % (waited_s * 1e3)),
        )
        if error is not None:
            raise error
        self._metrics.observe_wait(self.pool.name, LANES[ticket.lane], waited_s)

    def _abandon(self, ticket: Ticket, future: asyncio.Future[GatewayError | None]) -> None:
        """Forget a call whose client left, though it may just have been let through."""
        if ticket.is_waiting:
            self._line.queue.remove(ticket)
            self._share_depth()
        elif not future.cancelled() and future.result() is None:
            self.leave(ticket.holder, ticket.tokens, ticket.places)

    def _dispatch(self) -> None:
        """Let everybody go whose turn it is."""
        line, shared = self._line, self._shared
        while (ticket := line.next()) is not None:
            if not _wake(ticket, None):
                # Its client left a moment ago.
                line.leave(ticket.holder, ticket.tokens, ticket.places)
            elif shared is not None:
                shared.taken.add(ticket.places)
                if line.queue.depth:
                    # Several that go at once must not all go by one look at what the others have.
                    self._refresh()
        self._share_depth()

    def _sweep_later(self) -> None:
        delay_s = _SWEEP_S if self._shared is None else _SHARED_SWEEP_S
        self._sweeper = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        """End what has waited too long, and see whether the pool has grown."""
        self._sweeper = None
        has_replicas = self._refresh()
        for ticket in self._line.expire(self._clock()):
            if has_replicas:
                was_cut = ticket.expires_s < ticket.joined_s + self._line.rules.timeout_s
                self._end(ticket, "deadline" if was_cut else "timeout")
            elif _wake(ticket, None):
                self._enter(ticket.holder, ticket.tokens, ticket.places)
        self._dispatch()
        if self._line.queue.depth:
            self._sweep_later()

    def _refresh(self) -> bool:
        """Take note of what the pool can work on now; tell whether it has a replica at all."""
        candidates, line, shared = self.pool.candidates(()), self._line, self._shared
        capacity = sum(replica.max_in_flight for replica in candidates)
        tokens_each = self.pool.max_in_flight_tokens
        line.max_tokens = math.inf if tokens_each is None else tokens_each * len(candidates)
        if shared is None:
            line.resize(capacity)
            return bool(candidates)
        line.max_tokens /= shared.workers
        others_wait = shared.queued.total() > self._shared_depth
        share = math.ceil(capacity / shared.workers) if others_wait else None
        line.resize(capacity, elsewhere=shared.taken.total() - line.places, share=share)
        return bool(candidates)

    def _share_depth(self) -> None:
        if self._shared is not None:
            depth = self._line.queue.depth
            self._shared.queued.add(depth - self._shared_depth)
            self._shared_depth = depth

    def _end(self, ticket: Ticket, reason: Reason) -> None:
        """Send a call away that has waited."""
        position = self._line.queue.position(ticket.holder, ticket.lane)
        refusal = Refusal(reason, position, self._line.drain.wait_s(position))
        _wake(ticket, self._refuse(refusal))

    def _refuse(self, refusal: Refusal) -> GatewayError:
        self._metrics.count_rejection(self.pool.name, refusal.reason)
        return explain(refusal, self.pool.name, self._line.rules)

    def _meet(self, principal: Principal) -> Holder:
        """Find what this pool knows of a tenant, or begin to know it."""
        tenant = principal.tenant
        holder = self._holders.get(tenant)
        if holder is None:
            if len(self._holders) >= _MAX_HOLDERS:
                busy = {name: known for name, known in self._holders.items() if known.places or known.queued}
                self._holders = busy
            holder = self._holders[tenant] = Holder(principal.weight)
        if not holder.queued:
            holder.weight = principal.weight
        return holder


def _wake(ticket: Ticket, error: GatewayError | None) -> bool:
    """Tell whoever waits how it ended; False if nobody waits any more."""
    future = ticket.future
    if future is None or future.done():
        return False
    future.set_result(error)
    return True
