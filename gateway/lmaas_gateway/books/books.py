"""The stage: every call that was let in has one entry, whatever becomes of it and of this process."""

from __future__ import annotations

import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from lmaas_gateway.call import Usage
from lmaas_gateway.entries import Entry, encode
from lmaas_gateway.errors import BooksFullError
from lmaas_gateway.metrics.names import BOOKS_LOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.books.journal import Journal
    from lmaas_gateway.books.open_calls import OpenCalls
    from lmaas_gateway.books.price_list import PriceList
    from lmaas_gateway.call import Call, Principal
    from lmaas_gateway.meter import Meter, OpenCall
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import BooksSettings

LOST = "gateway_lost"
"""The outcome of a call whose gateway died under it."""

_BYTES_PER_TOKEN = 4
_RETRY_AFTER_S = 5
_NO_USAGE = Usage()
_OF_STORES = frozenset({"hit", "coalesced", "replayed"})


class Books:
    """Writes calls down: those in flight into slots, those that ended into the journal.

    Args:
        journal: Keeps what is appended, whatever becomes of this process.
        open_calls: The slots.
        prices: What calls cost.
        settings: What to do when there is no room left.
        metrics: Where losses are counted.
        clock: Unix seconds.
    """

    def __init__(
        self,
        journal: Journal,
        open_calls: OpenCalls,
        prices: PriceList,
        settings: BooksSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._open_calls = open_calls
        self._prices = prices
        self._is_strict = settings.policy == "strict"
        self._memory_bytes = settings.memory_bytes
        self._metrics = metrics
        self._clock = clock
        self._sequences = count()
        self._running: dict[OpenCall, Meter] = {}
        self._held: deque[tuple[bytes, OpenCall | None]] = deque()
        self.held_bytes = 0

    def open(self, call: Call, principal: Principal, meter: Meter) -> None:
        """Write down a call that is about to be served.

        Raises:
            BooksFullError: what it will cost could not be kept, and no call may go unrecorded.
        """
        if self._is_strict and self.held_bytes > self._memory_bytes:
            raise BooksFullError(
                "The gateway cannot record what calls cost at the moment, so it takes none; retry later.",
                retry_after_s=_RETRY_AFTER_S,
            )
        entry = meter.entry = self._begin(principal, meter, len(call.prompt) // _BYTES_PER_TOKEN)
        open_call = meter.open_call = self._open_calls.take(encode(entry))
        if open_call is not None:
            self._running[open_call] = meter

    def note_answer(self, meter: Meter) -> None:
        """Take note of who answers, if that is not who was asked, or answers for long."""
        entry = meter.entry
        if entry is None or (not meter.is_stream and entry.model == meter.model):
            return
        entry.model, entry.replica = meter.model, meter.replica
        entry.price = self._prices.find(meter.model)[1]
        if meter.open_call is not None:
            meter.open_call.rewrite(encode(entry))

    def close(self, meter: Meter) -> None:
        """Write down a call that has ended; who was not let in has none."""
        entry = meter.entry
        if entry is None:
            if meter.caller is None:
                return
            entry = meter.entry = self._begin(meter.caller, meter)
        entry = meter.entry = self._end(entry, meter)
        payload = encode(entry)
        open_call = meter.open_call
        if open_call is not None:
            self._running.pop(open_call, None)
        if self._held:
            self.drain()
        if self._held or not self._journal.append(payload):
            self._hold(payload, open_call)
        elif open_call is not None:
            open_call.free()

    def note_busy(self) -> None:
        """Take note of what the calls in flight have had of their replicas' time so far."""
        for open_call, meter in self._running.items():
            if meter.stay is not None:
                replica, entered_ns = meter.stay
                open_call.note_busy(replica.look() - entered_ns)

    def drain(self) -> None:
        """Write down what had to be held in memory, as far as there is room."""
        while self._held and self._journal.append(self._held[0][0]):
            payload, open_call = self._held.popleft()
            self.held_bytes -= len(payload)
            if open_call is not None:
                open_call.free()

    def _begin(self, principal: Principal, meter: Meter, prompt_tokens: int = 0) -> Entry:
        """Make the entry of a call that begins, as it is to stand if nobody can write down its end."""
        return Entry(
            next(self._sequences),
            meter.request_id,
            int((self._clock() - meter.duration_s()) * 1e6),
            principal.organization,
            principal.project,
            principal.key or principal.id,
            principal.member,
            meter.model,
            meter.replica,
            meter.route,
            meter.is_stream,
            prompt_tokens,
            outcome=LOST,
            code=LOST,
            price=self._prices.find(meter.model)[1],
        )

    def _end(self, entry: Entry, meter: Meter) -> Entry:
        """Make the entry of a call that has ended out of the one that it began with."""
        usage = meter.usage or _NO_USAGE
        price = self._prices.find(meter.model)[1]
        # By their places, since that is quicker than to set or to name each.
        return Entry(
            entry.sequence,
            entry.request_id,
            entry.at_us,
            entry.organization,
            entry.project,
            entry.key,
            entry.member,
            meter.model,
            meter.replica,
            entry.route,
            entry.is_stream,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens,
            usage.is_estimated,
            int(meter.first_byte_s() * 1e6),
            int(meter.duration_s() * 1e6),
            int(meter.queued_s * 1e6),
            meter.busy_ns,
            meter.outcome,
            meter.status,
            meter.code,
            meter.cache if meter.cache in _OF_STORES else "",
            price,
            self._prices.cost_nanos(meter) if price else 0,
        )

    def _hold(self, payload: bytes, open_call: OpenCall | None) -> None:
        """Keep a record in memory; its slot stays taken, so that less is lost if the process dies now."""
        if not self._is_strict and self.held_bytes > self._memory_bytes:
            self._metrics.count(BOOKS_LOST, ())
            if open_call is not None:
                open_call.free()
            return
        self._held.append((payload, open_call))
        self.held_bytes += len(payload)
