"""Limits that several hosts keep together: one script in Valkey or Redis takes from all counters of a call.

While the server does not answer, each process lets through a part of every limit by itself, from counters of
its own; what was used meanwhile is counted there once it is back. No call waits for it longer than a
deadline, and none at all once it is known to be away (docs/decisions/0016-limits.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import secrets
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from lmaas_gateway.limits.rules import CALLS_IN_FLIGHT, METRICS, TOKENS_IN_FLIGHT, Counter
from lmaas_gateway.limits.stores import Refusal
from lmaas_gateway.limits.table import KINDS, LEVEL_TURN, Stamp
from lmaas_gateway.limits.valkey.wire import Wire, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.limits.rules import Limit
    from lmaas_gateway.limits.table import Table
    from lmaas_gateway.limits.valkey.wire import Value

_LOG = logging.getLogger("lmaas.gateway")
# All keys in one hash slot of a cluster: the counters of a call are taken from by one script.
_PREFIX = b"{lmaas}:limits:"
_PROCESSES = _PREFIX + b"processes"
_HELD = _PREFIX + b"held:"
_BEAT_S = 1.0
_LEASE_S = 10
_CONNECT_S = 2.0
_TURNS_TO_READ = 2
_SETTLED_AT_ONCE = 128
_MAX_UNSETTLED = 500_000


@dataclass(slots=True, eq=False)
class SharedCounter(Counter):
    """A counter in the shared store.

    Attributes:
        key: What it is called there.
        seen: What it came to when it was last seen.
        spare: Its stand-in in this process.
    """

    key: bytes = b""
    seen: int = 0
    spare: Counter | None = None


@dataclass(slots=True, eq=False)
class SpareStamp:
    """What was taken from the spare counters, and what of it has not been given back."""

    stamp: Stamp
    costs: list[int] = field(default_factory=list)


class _Settlement(NamedTuple):
    key: bytes
    kind: int
    cost: int
    stamp: int


@cache
def _script(name: str) -> bytes:
    folder = Path(__file__).parent
    return (folder / "counters.lua").read_bytes() + (folder / f"{name}.lua").read_bytes()


def _sha(name: str) -> bytes:
    return hashlib.sha1(_script(name), usedforsecurity=False).hexdigest().encode()  # as EVALSHA names scripts


class ValkeyStore:
    """The counters in Valkey or Redis.

    Args:
        url: Where it is; may hold a password.
        spare: Counts while it does not answer.
        share: Which part of each limit may be used then, from 0 to 1.
        timeout_s: How long a call waits for it.
    """

    def __init__(self, url: str, spare: Table, *, share: float, timeout_s: float) -> None:
        self._url = url
        self._spare = spare
        self._share = share
        self._timeout_s = timeout_s
        self._wire: Wire | None = None
        self._process = b""
        self._is_known = False
        self._in_flight: dict[bytes, int] = {}
        self._unsettled: deque[_Settlement] = deque()
        self._is_flushing = False
        self._beating: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether calls are counted there."""
        return self._wire is not None and self._is_known and self._wire.is_open

    async def start(self) -> None:
        """Connect, and go on trying to if that does not succeed."""
        await self._beat()
        self._beating = asyncio.create_task(self._beat_on())

    async def close(self) -> None:
        """Give back what is still to be given back, if it can be told at once, and end."""
        if self._beating is not None:
            self._beating.cancel()
        if self._wire is not None:
            with contextlib.suppress(WireError, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    while self._unsettled and self._wire.is_open:
                        await self._send_settlements(self._wire)
            self._wire.close()

    def counter(self, limit: Limit) -> SharedCounter:
        """Find the counter of a limit.

        Raises:
            TableFullError: there is no room for its stand-in.
        """
        part = math.floor(limit.amount * self._share)
        spare = self._spare.counter(limit)
        spare.amount = max(part, 1) if self._share and limit.amount else 0
        kind = KINDS[limit.period]
        key = _PREFIX + limit.name.encode()
        metric = METRICS.index(limit.metric)
        return SharedCounter(limit, metric, limit.amount, turn=kind - 1, key=key, spare=spare)

    async def reserve(
        self, counters: Sequence[Counter], costs: Sequence[int]
    ) -> Stamp | SpareStamp | list[Refusal]:
        """Take costs, by metric, from all counters; else tell which refuse."""
        wire = self._wire
        shared = cast("Sequence[SharedCounter]", counters)
        if wire is None or not self.is_up:
            return self._reserve_here(shared, costs)
        if self._unsettled:
            self._flush()
        asked = wire.ask(*_reservation(shared, costs, self._process))
        try:
            reply = await self._wait_for(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(lambda late: self._undo(late, shared, costs))
            raise
        except (TimeoutError, WireError) as error:
            asked.add_done_callback(lambda late: self._undo(late, shared, costs))
            self._lose(wire, error)
            return self._reserve_here(shared, costs)
        return self._read(reply, shared, costs)

    async def _wait_for(self, asked: asyncio.Future[Value]) -> Value:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(asked)
        except TimeoutError:
            # Where the loop itself was late, what came meanwhile is still to be read.
            for _ in range(_TURNS_TO_READ):
                await asyncio.sleep(0)
            if asked.done():
                return asked.result()
            raise

    def charge(self, counters: Sequence[Counter], costs: Sequence[int]) -> None:
        """Take costs whatever is left."""
        for counter in cast("Sequence[SharedCounter]", counters):
            if costs[counter.metric]:
                self._settle(_Settlement(counter.key, counter.turn + 1, -costs[counter.metric], 0))

    def give_back(self, counters: Sequence[Counter], costs: Sequence[int], stamp: Stamp | SpareStamp) -> None:
        """Undo what was taken, or a part of it."""
        shared = cast("Sequence[SharedCounter]", counters)
        if isinstance(stamp, SpareStamp):
            self._give_back_here(shared, costs, stamp)
            return
        for counter in shared:
            cost = costs[counter.metric]
            if not cost:
                continue
            if counter.turn == LEVEL_TURN:
                self._in_flight[counter.key] = self._in_flight.get(counter.key, 0) - cost
            self._settle(_Settlement(counter.key, counter.turn + 1, cost, stamp[counter.turn]))

    def total(self, counter: Counter) -> int:
        """Tell what a counter came to when it was last seen."""
        return cast("SharedCounter", counter).seen

    def ends_in_s(self, counter: Counter) -> float:
        """Tell after how many seconds a counter is at its beginning again, if nothing more is taken."""
        return self._spare.ends_in_s(counter.limit.period)

    def _read(
        self, reply: Value, counters: Sequence[SharedCounter], costs: Sequence[int]
    ) -> Stamp | list[Refusal]:
        taken, second, day, month, *rest = cast("list[int]", reply)
        totals, waits = rest[: len(counters)], rest[len(counters) :]
        for counter, total in zip(counters, totals, strict=True):
            counter.seen = int(total)
        if not taken:
            return [
                Refusal(counter, counter.amount - counter.seen, math.inf if wait < 0 else wait / 1e3)
                for counter, wait in zip(counters, waits, strict=True)
                if wait
            ]
        for counter in counters:
            if counter.turn == LEVEL_TURN:
                cost = costs[counter.metric]
                self._in_flight[counter.key] = self._in_flight.get(counter.key, 0) + cost
        return Stamp(second, day, month)

    def _undo(
        self, late: asyncio.Future[Value], counters: Sequence[SharedCounter], costs: Sequence[int]
    ) -> None:
        """Give back what was taken for a call that did not wait for it."""
        if late.cancelled() or late.exception() is not None:
            return
        stamp = self._read(late.result(), counters, costs)
        if isinstance(stamp, Stamp):
            self.give_back(counters, costs, stamp)

    # While it does not answer.

    def _reserve_here(
        self, counters: Sequence[SharedCounter], costs: Sequence[int]
    ) -> SpareStamp | list[Refusal]:
        spares = [cast("Counter", counter.spare) for counter in counters]
        stamp = self._spare.reserve(spares, costs)
        for counter, spare in zip(counters, spares, strict=True):
            counter.seen = counter.amount - max(0, spare.amount - self._spare.total(spare))
        if stamp is not None:
            return SpareStamp(stamp, list(costs))
        refusing = set(map(id, self._spare.find_refusing(spares, costs)))
        # It may be back at any moment.
        return [
            Refusal(counter, spare.amount - self._spare.total(spare), _BEAT_S)
            for counter, spare in zip(counters, spares, strict=True)
            if id(spare) in refusing
        ]

    def _give_back_here(
        self, counters: Sequence[SharedCounter], costs: Sequence[int], held: SpareStamp
    ) -> None:
        self._spare.give_back([cast("Counter", one.spare) for one in counters], costs, held.stamp)
        held.costs = [left - cost for left, cost in zip(held.costs, costs, strict=True)]
        if held.costs[CALLS_IN_FLIGHT] <= 0 and held.costs[TOKENS_IN_FLIGHT] <= 0:
            # It has ended: what it used counts for the others too, from now on.
            self.charge([one for one in counters if one.turn != LEVEL_TURN], held.costs)

    # Settling and the lease.

    def _settle(self, settlement: _Settlement) -> None:
        if len(self._unsettled) < _MAX_UNSETTLED:
            self._unsettled.append(settlement)
        if not self._is_flushing and self.is_up:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        wire = self._wire
        while self._unsettled and wire is not None and self.is_up:
            self._send_settlements(wire)

    def _send_settlements(self, wire: Wire) -> asyncio.Future[Value]:
        some = [self._unsettled.popleft() for _ in range(min(len(self._unsettled), _SETTLED_AT_ONCE))]
        values = [b"%d" % value for one in some for value in (one.kind, one.cost, one.stamp)]
        keys = [_HELD + self._process, *(one.key for one in some)]
        request = (b"EVALSHA", _sha("settle"), b"%d" % len(keys), *keys, self._process, *values)
        sent = wire.ask(*request)
        sent.add_done_callback(lambda done: self._keep_unsettled(done, some))
        return sent

    def _keep_unsettled(self, done: asyncio.Future[Value], some: list[_Settlement]) -> None:
        if done.cancelled() or done.exception() is not None:
            # Of what is in flight all is told anew, when it is back.
            self._unsettled.extend(one for one in some if one.kind != LEVEL_TURN + 1)

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            await self._beat()

    async def _beat(self) -> None:
        """Say that this process lives, and become known anew if the server has forgotten it."""
        wire = self._wire
        try:
            async with asyncio.timeout(_CONNECT_S):
                if wire is None or not wire.is_open:
                    wire = await self._connect()
                if not self._is_known or not await self._ask_lease(wire):
                    await self._register(wire)
        except (OSError, TimeoutError, WireError) as error:
            self._lose(wire, error)
            return
        self._wire, self._is_known = wire, True
        self._flush()

    async def _connect(self) -> Wire:
        self._is_known = False
        wire = await Wire.open(self._url)
        try:
            for name in ("reserve", "settle", "heartbeat"):
                await wire.ask(b"SCRIPT", b"LOAD", _script(name))
        except BaseException:
            wire.close()
            raise
        return wire

    async def _ask_lease(self, wire: Wire, former: bytes | None = None) -> bool:
        is_new = b"0" if former is None else b"1"
        values = (self._process, b"%d" % _LEASE_S, _HELD, is_new, former or b"")
        return bool(await wire.ask(b"EVALSHA", _sha("heartbeat"), b"1", _PROCESSES, *values))

    async def _register(self, wire: Wire) -> None:
        """Begin under a new name, with what is in flight now."""
        self._is_known = False
        former, self._process = self._process, secrets.token_hex(8).encode()
        await self._ask_lease(wire, former)
        self._unsettled = deque(one for one in self._unsettled if one.kind != LEVEL_TURN + 1)
        self._in_flight = {key: held for key, held in self._in_flight.items() if held > 0}
        self._unsettled.extendleft(
            _Settlement(key, LEVEL_TURN + 1, -held, 0) for key, held in self._in_flight.items()
        )

    def _lose(self, wire: Wire | None, error: Exception) -> None:
        if self._is_known or not self._process:
            _LOG.warning(
                "the store of limits does not answer (%s): each process lets through %.0f%% of every limit",
                str(error) or type(error).__name__,
                self._share * 100,
            )
        self._process = self._process or b"-"
        self._is_known = False
        if wire is not None:
            wire.close()
        self._wire = None


def _reservation(counters: Sequence[SharedCounter], costs: Sequence[int], process: bytes) -> list[bytes]:
    keys = [_HELD + process, *(counter.key for counter in counters)]
    values = [process]
    for counter in counters:
        values += (
            b"%d" % (counter.turn + 1),
            b"%d" % counter.amount,
            b"%d" % costs[counter.metric],
        )
    return [b"EVALSHA", _sha("reserve"), b"%d" % len(keys), *keys, *values]
