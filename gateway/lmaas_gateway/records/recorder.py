"""The end of a call: all that its meter knows of it, written into the ring as one record."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec.structs import replace

from lmaas_gateway.call import Usage
from lmaas_gateway.records.record import CallRecord, encode

if TYPE_CHECKING:
    from lmaas_gateway.call import Principal
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.notes import Choice, Named
    from lmaas_gateway.prices import Price
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
        is_usual = meter.outcome in _USUAL and meter.attempts < 2 and duration_s <= self._slow_s
        ring = self._usual if is_usual else self._notable
        record = self._record(meter, caller, ended_s, duration_s, first_byte_s)
        if not ring.write(encode(record)):
            ring.write(encode(_shortened(record)))

    def _record(
        self, meter: Meter, caller: Principal, ended_s: float, duration_s: float, first_byte_s: float
    ) -> CallRecord:
        usage = meter.usage or _NO_USAGE
        policy, names, loads, worth = _NO_CHOICE
        if meter.choice is not None:
            policy, names, loads, worth = _weighed(meter.choice)
        if meter.entry is not None:
            text, cost_nanos = meter.entry.price, meter.entry.cost_nanos
        else:
            price, text = self._prices.find(meter.model)
            cost_nanos = price.cost_nanos(usage, meter.busy_ns) if text else 0
        # By place: with names it costs twice as much.
        return CallRecord(
            int((ended_s - duration_s) * _US),
            meter.request_id,
            caller.organization,
            caller.project,
            caller.key or caller.id,
            caller.member,
            meter.model,
            meter.replica,
            meter.route,
            meter.is_stream,
            meter.outcome,
            meter.status,
            meter.code,
            meter.param,
            meter.cache,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens,
            usage.is_estimated,
            int(meter.queued_s * _US),
            int(meter.sent_s * _US),
            int(first_byte_s * _US),
            int(duration_s * _US),
            0 if meter.share is None else meter.share.busy_ns,
            meter.attempts,
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
            text,
            cost_nanos,
        )


def _weighed(choice: Choice[Named]) -> _Weighed:
    """Give the policy, and of the first candidates the names, loads and worth."""
    names = [*map(_NAME, choice.candidates)]
    if len(names) <= _MAX_CANDIDATES:
        return choice.policy, names, choice.loads, choice.worth
    return (
        choice.policy,
        names[:_MAX_CANDIDATES],
        choice.loads[:_MAX_CANDIDATES],
        choice.worth[:_MAX_CANDIDATES],
    )


def _shortened(record: CallRecord) -> CallRecord:
    """Leave out what may be long."""
    return replace(
        record,
        candidates=(),
        loads=(),
        worth=(),
        failures=(record.failures or [])[:1],
        fallbacks=(record.fallbacks or [])[:1],
        headers=[],
    )
