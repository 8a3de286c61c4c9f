"""The end of a call: all that its meter knows of it, written into the ring as one record."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec.structs import replace

from lmaas_gateway.call import Usage
from lmaas_gateway.records.record import decode, encode

if TYPE_CHECKING:
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.prices import Price
    from lmaas_gateway.records.record import CallRecord
    from lmaas_gateway.records.ring import Ring
    from lmaas_gateway.records.rings import Rings

_NO_USAGE = Usage()
_US = 1e6
# So many candidates tell enough of a choice.
_MAX_CANDIDATES = 12
_USUAL = frozenset({"ok", "client_gone"})
# A comprehension would make a function of each call.
_NAME = attrgetter("name")
_Weighed: TypeAlias = tuple[str, Sequence[str], Sequence[float], Sequence[float]]
_NO_CHOICE: _Weighed = "", (), (), ()


class Prices(Protocol):
    """What calls cost."""

    def find(self, model: str) -> tuple[Price, str]:
        """Give the price of a model, and how it is written down; empty if it has none."""
        ...


class Recorder:
    """Writes calls down that have ended.

    Args:
        rings: Where.
        prices: What calls cost.
        slow_s: A call that takes longer is kept among the notable ones.
    """

    def __init__(self, rings: Rings, prices: Prices, *, slow_s: float) -> None:
        self._usual, self._notable = rings.usual, rings.notable
        self._prices = prices
        self._slow_s = slow_s

    def close(self, meter: Meter, ended_s: float, duration_s: float, first_byte_s: float) -> None:
        """Write down a call of a caller who was let in.

        Args:
            meter: Of the call.
            ended_s: When it ended, in Unix seconds.
            duration_s: How long it took.
            first_byte_s: From its arrival until its reply began; 0 if it had none.
        """
        caller = meter.caller
        if caller is None:
            return
        usage, choice, entry, share = meter.usage or _NO_USAGE, meter.choice, meter.entry, meter.share
        policy, names, loads, worth = _NO_CHOICE
        if choice is not None:
            policy, loads, worth = choice.policy, choice.loads, choice.worth
            names = [*map(_NAME, choice.candidates)]
        if entry is not None:
            price, cost_nanos = entry.price, entry.cost_nanos
        else:
            priced, price = self._prices.find(meter.model)
            cost_nanos = priced.cost_nanos(usage, meter.busy_ns) if price else 0
        outcome, attempts = meter.outcome, meter.attempts
        # As `CallRecord` has them: to make one of it first would cost as much as to encode it.
        data = encode(
            (
                (ended_s - duration_s) * _US,
                meter.request_id,
                caller.organization,
                caller.project,
                caller.key or caller.id,
                caller.member,
                meter.model,
                meter.replica,
                meter.route,
                meter.is_stream,
                outcome,
                meter.status,
                meter.code,
                meter.param,
                meter.cache,
                usage.prompt_tokens,
                usage.cached_tokens,
                usage.completion_tokens,
                usage.reasoning_tokens,
                usage.is_estimated,
                meter.queued_s * _US,
                meter.sent_s * _US,
                first_byte_s * _US,
                duration_s * _US,
                0 if share is None else share.busy_ns,
                attempts,
                meter.beside,
                meter.applied,
                policy,
                names,
                loads,
                worth,
                meter.wait,
                meter.failures,
                meter.fallbacks,
                meter.reply_headers,
                meter.engine_us,
                price,
                cost_nanos,
            )
        )
        is_usual = outcome in _USUAL and attempts < 2 and duration_s <= self._slow_s
        ring = self._usual if is_usual else self._notable
        if not ring.write(data):
            _write_shortened(ring, decode(data))


def _write_shortened(ring: Ring, record: CallRecord) -> None:
    """Write a record that is too long for a slot with as much of it as fits."""
    fewer = replace(
        record,
        candidates=record.candidates[:_MAX_CANDIDATES],
        loads=record.loads[:_MAX_CANDIDATES],
        worth=record.worth[:_MAX_CANDIDATES],
        failures=(record.failures or [])[:1],
        fallbacks=(record.fallbacks or [])[:1],
    )
    if not ring.write(encode(fewer)):
        ring.write(encode(replace(fewer, candidates=(), loads=(), worth=(), headers=[])))
