"""The stage: a gate for each pool, kept over changes of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.admission.fair_queue import LANES
from lmaas_gateway.admission.gate import Gate, SharedPlaces
from lmaas_gateway.admission.line import Rules
from lmaas_gateway.admission.pace import Pace
from lmaas_gateway.admission.priority import with_engine_priority
from lmaas_gateway.notes import PRIORITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmaas_gateway.admission.fair_queue import Holder
    from lmaas_gateway.board import SharedBoard
    from lmaas_gateway.call import Call, Principal
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.settings import Settings


def rules_of(settings: Settings) -> Rules:
    """Read the bounds of the queues out of the settings."""
    queue = settings.queue
    return Rules(
        max_queued=queue.max_queued,
        timeout_s=queue.timeout_s,
        reserve=queue.reserve,
        is_shared=len(settings.keys) + (settings.api_key is not None) > 1,
    )


class Turn:
    """One call's way through the gates: it holds places in one pool at most, and `leave` gives them back.

    Args:
        admission: Knows the gates.
        principal: Whose call it is.
        meter: Takes note of waiting.
    """

    __slots__ = ("_admission", "_gate", "_holder", "_meter", "_places", "_principal", "_tokens")

    def __init__(self, admission: Admission, principal: Principal, meter: Meter) -> None:
        self._admission = admission
        self._principal = principal
        self._meter = meter
        self._gate: Gate | None = None

    def enter(self, call: Call, pool: Pool) -> Call | None:
        """Let the call through if there is room at once, as the pool's engines are to see it."""
        if self._gate is not None:
            self.leave()
        gate = self._admission.gate(pool)
        places = self._places = 1 if call.sequences == 1 else gate.places_of(call)
        holder = gate.enter(self._principal, call, places)
        return None if holder is None else self._take(gate, holder, call, pool)

    async def wait(self, call: Call, pool: Pool) -> Call:
        """Let the call through when its turn comes, as the pool's engines are to see it.

        Raises:
            GatewayError: it does not come; `Gate.wait` lists why.
        """
        self.leave()
        gate = self._admission.gate(pool)
        places = self._places = gate.places_of(call)
        return self._take(gate, await gate.wait(self._principal, call, places, self._meter), call, pool)

    def leave(self) -> None:
        """Give the places to the next calls; without any nothing is changed."""
        gate = self._gate
        if gate is not None:
            self._gate = None
            gate.leave(self._holder, self._tokens, self._places)

    def _take(self, gate: Gate, holder: Holder, call: Call, pool: Pool) -> Call:
        self._gate, self._holder, self._tokens = gate, holder, call.tokens
        if call.priority is None and not self._principal.priority:
            return call
        self._meter.applied |= PRIORITY
        return with_engine_priority(call, self._principal, pool)


class Admission:
    """The gates of all pools.

    Args:
        rules: The bounds of their queues.
        metrics: Counts waits and refusals, and is shown depth and capacity.
        board: Where several workers share what is in flight; None for one process.
        workers: How many of them there are.

    Attributes:
        pace: How many calls begin in one turn of the event loop.
    """

    def __init__(
        self, rules: Rules, metrics: Metrics, *, board: SharedBoard | None = None, workers: int = 1
    ) -> None:
        self._rules = rules
        self._metrics = metrics
        self._board = board
        self._workers = workers
        self._gates: dict[str, Gate] = {}
        # Those that serve, once the configuration has changed.
        self._pools: Mapping[str, Pool] = {}
        self.pace = Pace()

    def turn(self, principal: Principal, meter: Meter) -> Turn:
        """Begin a call's way through the gates; it holds nothing yet."""
        return Turn(self, principal, meter)

    def gate(self, pool: Pool) -> Gate:
        """Find the gate of a pool, which is that of whichever pool of its name serves now."""
        gate = self._gates.get(pool.name)
        if gate is None:
            # A call may hold a pool that has been replaced, or was removed and is back as another one.
            pool = self._pools.get(pool.name, pool)
            places = None if self._board is None else SharedPlaces(self._board, pool.name, self._workers)
            gate = self._gates[pool.name] = Gate(pool, self._rules, self._metrics, shared=places)
        return gate

    def change(self, rules: Rules, pools: Mapping[str, Pool]) -> None:
        """Go on with another configuration; what is in flight and what waits stays."""
        self._rules, self._pools = rules, pools
        for name, gate in tuple(self._gates.items()):
            gate.bind(pools.get(name, gate.pool), rules)
            if name not in pools and not gate.in_flight:
                del self._gates[name]

    def depths(self) -> Iterator[tuple[tuple[str, str], float]]:
        """List how many calls wait, by model and priority."""
        for name, gate in self._gates.items():
            for index, lane in enumerate(LANES):
                yield (name, lane), gate.depth(index)

    def capacities(self) -> Iterator[tuple[tuple[str], float]]:
        """List how many places each pool has, by model."""
        for name, gate in self._gates.items():
            yield (name,), gate.capacity
