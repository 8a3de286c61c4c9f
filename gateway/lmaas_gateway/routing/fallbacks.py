"""Along a call's plan: the next model's pool, where one cannot serve the call before its first byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from lmaas_gateway.errors import GatewayError
from lmaas_gateway.metrics.names import FALLBACKS
from lmaas_gateway.notes import Fallback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.forwarded import Forwarded
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.routing.router import Router


class Turn(Protocol):
    """What lets one call through to a pool; whoever enters another pool gives up the place in the last."""

    def enter(self, call: Call, pool: Pool) -> Call | None:
        """Let the call through at once if there is room; None if it must `wait`."""
        ...

    async def wait(self, call: Call, pool: Pool) -> Call:
        """Let the call through when its turn comes.

        Raises:
            GatewayError: it does not come.
        """
        ...


class PlanRouter:
    """Sends calls to the pools of their plans.

    Args:
        router: Sends a call to the replicas of one pool.
        metrics: Counts the calls that another model answered.
    """

    def __init__(self, router: Router, metrics: Metrics) -> None:
        self._router = router
        self._metrics = metrics

    def forward(self, call: Call, plan: Sequence[Pool], meter: Meter, turn: Turn) -> Awaitable[Forwarded]:
        """Send `call` to the first pool of `plan` that lets it through and can serve it; note which it was.

        Raises:
            GatewayError: none could; what the first one to tell a reason said.
        """
        pool = plan[0]
        if len(plan) == 1 and pool.name == call.model:
            return self._send(call, pool, meter, turn)
        return self._try_all(call, plan, meter, turn)

    async def _try_all(self, call: Call, plan: Sequence[Pool], meter: Meter, turn: Turn) -> Forwarded:
        *earlier, last = plan
        refusal = None
        for pool in earlier:
            try:
                return self._note(call, pool, plan, meter, await self._send(call, pool, meter, turn))
            except GatewayError as error:
                # Why the model that was asked for could not serve tells the caller most.
                refusal = refusal or error
                meter.fallbacks = [*(meter.fallbacks or ()), Fallback(pool.name, error.code or "")]
                if call.is_over():
                    raise refusal from None
        try:
            return self._note(call, last, plan, meter, await self._send(call, last, meter, turn))
        except GatewayError as error:
            raise refusal or error from None

    def _send(self, call: Call, pool: Pool, meter: Meter, turn: Turn) -> Awaitable[Forwarded]:
        entered = turn.enter(call, pool)
        if entered is None:
            return self._send_in_turn(call, pool, meter, turn)
        meter.is_sent = True
        return self._router.forward(entered, pool, meter)

    async def _send_in_turn(self, call: Call, pool: Pool, meter: Meter, turn: Turn) -> Forwarded:
        call = await turn.wait(call, pool)
        meter.is_sent = True
        return await self._router.forward(call, pool, meter)

    def _note(
        self, call: Call, pool: Pool, plan: Sequence[Pool], meter: Meter, forwarded: Forwarded
    ) -> Forwarded:
        if pool is not plan[0]:
            self._metrics.count(FALLBACKS, (plan[0].name, pool.name))
            meter.model = pool.name
        if pool.name != call.model:
            meter.reply_headers.append((b"x-lmaas-model", quote(pool.name).encode()))
        return forwarded
