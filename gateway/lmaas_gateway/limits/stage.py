"""The stage: reserve what a call may need of every limit that it is under, or refuse it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import LimitsFullError
from lmaas_gateway.limits.reservation import Reservation
from lmaas_gateway.limits.rules import CALLS_IN_FLIGHT, MONEY, REQUESTS, RuleBook, Rules
from lmaas_gateway.limits.stores import LocalStore, NoPrices
from lmaas_gateway.limits.table import TableFullError
from lmaas_gateway.limits.wording import refuse
from lmaas_gateway.metrics.names import LIMIT_REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmaas_gateway.call import Call, Exits, Principal
    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.limits.rules import Limit
    from lmaas_gateway.limits.stores import Prices, Refusal, Store
    from lmaas_gateway.limits.tenants import TenantLimits
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.settings import LimitSettings

_MAX_KNOWN = 20_000
# How often those who wait for room have the calls before them counted before they give up.
_ROUNDS = 3
_COUNTED_AT_ONCE = 64
_CHORES_INTERVAL_S = 1.0
_OF_CALLS = frozenset({REQUESTS, CALLS_IN_FLIGHT})


class PromptCounter(Protocol):
    """Counts the tokens of prompts."""

    async def count(self, call: Call, pool: Pool) -> int | None:
        """Tell how many tokens the prompt of a call has, as its replica counts them; None if nobody can."""
        ...

    def close(self) -> None:
        """Count no more."""
        ...


class Limiter:
    """All limits of one process.

    Args:
        settings: How limits are kept.
        store: Where they are counted.
        metrics: Counts refusals.
        prices: What tokens cost.
        prompts: Counts prompts where a bound of them does not fit; None where nobody can.
        tenants: Knows the limits that stand in the database; None where there is none.
        is_shared: Whether other processes take from the same counters.

    Attributes:
        table: The store's, where it can be asked without waiting.
        loose: The calls under way of whose prompts a bound is held.
    """

    def __init__(
        self,
        settings: LimitSettings,
        store: Store,
        metrics: Metrics,
        *,
        prices: Prices | None = None,
        prompts: PromptCounter | None = None,
        tenants: TenantLimits | None = None,
        is_shared: bool = False,
    ) -> None:
        self.is_shared = is_shared
        self.settings = settings
        self.store = store
        self.table = store.table if isinstance(store, LocalStore) else None
        self.prices = prices or NoPrices()
        self.loose: set[Reservation] = set()
        self.reserved_tokens = 0
        self._prompts = prompts
        self._metrics = metrics
        self._tenants = tenants
        self._configured: tuple[Limit, ...] = ()
        self._chores: asyncio.Task[None] | None = None
        self._book = RuleBook()
        # As most gateways have none, each call asks for that first.
        self._has_limits = False
        self._known: dict[tuple[str, str, str], Rules | None] = {}

    def follow(self, limits: Iterable[Limit]) -> None:
        """Go by these limits of the configuration from the next call on; what has been counted stays."""
        self._configured = tuple(limits)
        self._go_by(self._tenants.limits if self._tenants is not None else ())

    def knows(self, principal: Principal) -> bool:
        """Tell whether the limits of a principal are here; else `learn` them."""
        return self._tenants is None or principal.organization in self._tenants.organizations

    async def learn(self, principal: Principal) -> None:
        """Read the limits of a principal's organization.

        Raises:
            StoreUnavailableError: the database does not answer, so it is not known what is allowed.
        """
        if self._tenants is not None:
            self._go_by(await self._tenants.learn(principal.organization))

    def _go_by(self, limits: Iterable[Limit]) -> None:
        self._book.replace((*self._configured, *limits))
        self._has_limits = bool(self._book)
        self._known = {}

    def open(
        self, principal: Principal, call: Call, pool: Pool, *, meter: Meter, exits: Exits
    ) -> Reservation | None:
        """Begin what a call will hold until it has ended; None where it is under no limit.

        Raises:
            LimitsFullError: there is no room for one more counter.
        """
        if not self._has_limits:
            return None
        # A key of the configuration may be named as another's id is spelled.
        key = (principal.id, principal.project, pool.name)
        try:
            rules = self._known[key]
        except KeyError:
            rules = self._find(principal, pool.name, key)
        if rules is None:
            return None
        reservation = Reservation(self, rules, call, pool, meter)
        exits.append(reservation.settle)
        return reservation

    async def take(self, reservation: Reservation) -> None:
        """Take what a call may need, counting prompts where that finds room.

        Raises:
            GatewayError: a limit leaves no room; the strictest one is named.
        """
        refusals: Sequence[Refusal] = ()
        if not reservation.rules.counts_first or reservation.is_counted:
            refusals = await self._try(reservation)
            if not refusals:
                return
            if not _can_be_had(reservation, refusals):
                raise self._refuse(reservation, refusals)
        reservation.rules.counts_first = True
        await self._count(reservation)
        for _ in range(_ROUNDS):
            refusals = await self._try(reservation)
            if not refusals:
                return
            if not await self._tighten_others(refusals):
                break
        raise self._refuse(reservation, refusals)

    async def extend(self, reservation: Reservation) -> GatewayError | None:
        """Take one more step for a stream, or what is left of one; else tell which limit has none left."""
        tokens = self.settings.step_tokens
        await self._count(reservation)
        refusals: Sequence[Refusal] = ()
        for round_ in range(_ROUNDS):
            costs = reservation.costs_of_step(tokens)
            taken = await self.store.reserve(reservation.rules.counters, costs)
            if not isinstance(taken, list):
                reservation.hold_step(taken, costs)
                return None
            refusals = taken
            if round_ or not await self._tighten_others(refusals):
                tokens = _part_of(tokens, costs, refusals)
                if not tokens:
                    break
        return self._refuse(reservation, refusals)

    def tell(self, rules: Rules, meter: Meter) -> None:
        """Note in the head of the reply what is left of the limits."""
        total, headers = self.store.total, meter.reply_headers
        for counter, others in rules.told:
            left = counter.amount - total(counter)
            for other in others:
                if (other_left := other.amount - total(other)) < left:
                    counter, left = other, other_left  # noqa: PLW2901  # the one with least left is told of
            line = counter.headline
            reset = line.reset or line.reset_in(self.store.ends_in_s(counter))
            headers += (line.limit, (line.remaining, b"%d" % left if left > 0 else b"0"), reset)

    async def look_after(self) -> None:
        """Follow the changes of administrators, and hold no bound where room is short; called each second."""
        if self._tenants is not None and (limits := await self._tenants.refresh()) is not None:
            self._go_by(limits)
        for rules in self._known.values():
            if rules is not None:
                rules.counts_first = self.is_shared and self._is_short(rules)
        if self.is_shared:
            short = [held for held in self.loose if held.rules.counts_first]
            await asyncio.gather(*map(self._count, short[:_COUNTED_AT_ONCE]))

    def _is_short(self, rules: Rules) -> bool:
        """Tell whether a limit on tokens is more than half used, so that bounds may take others' place."""
        return any(
            self.store.total(counter) * 2 > counter.amount
            for counter in rules.counters
            if counter.metric not in _OF_CALLS
        )

    async def start(self) -> None:
        """Begin what goes on by itself."""
        await self.store.start()
        self._chores = asyncio.create_task(self._do_chores())

    async def close(self) -> None:
        """Count no more."""
        if self._chores is not None:
            self._chores.cancel()
        if self._prompts is not None:
            self._prompts.close()
        await self.store.close()

    async def _do_chores(self) -> None:
        while True:
            await asyncio.sleep(_CHORES_INTERVAL_S)
            await self.look_after()

    def _find(self, principal: Principal, model: str, key: tuple[str, str, str]) -> Rules | None:
        limits = self._book.find(principal, model)
        try:
            counters = tuple(map(self.store.counter, limits))
        except TableFullError:
            raise LimitsFullError(
                "There is no room to keep the limits of this call; the operator must raise "
                "`limits.max_counters`."
            ) from None
        if len(self._known) >= _MAX_KNOWN:
            self._known = {}
        self._known[key] = rules = Rules(counters) if counters else None
        return rules

    async def _try(self, reservation: Reservation) -> Sequence[Refusal]:
        costs = reservation.costs()
        taken = await self.store.reserve(reservation.rules.counters, costs)
        if isinstance(taken, list):
            return taken
        reservation.hold(taken, costs)
        return ()

    async def _count(self, reservation: Reservation) -> None:
        if not reservation.is_counted:
            prompts = self._prompts
            tokens = None if prompts is None else await prompts.count(reservation.call, reservation.pool)
            reservation.tighten(tokens)

    async def _tighten_others(self, refusals: Sequence[Refusal]) -> bool:
        """Count the prompts of calls under way that hold a bound of what is lacking."""
        lacking = {refusal.counter.limit.name for refusal in refusals}
        others = [
            other
            for other in self.loose
            if any(counter.limit.name in lacking for counter in other.rules.counters)
        ]
        for begin in range(0, len(others), _COUNTED_AT_ONCE):
            await asyncio.gather(*map(self._count, others[begin : begin + _COUNTED_AT_ONCE]))
        return bool(others)

    def _refuse(self, reservation: Reservation, refusals: Sequence[Refusal]) -> GatewayError:
        counter, left, wait_s = max(refusals, key=lambda refusal: refusal.wait_s)
        limit = counter.limit
        self._metrics.count(LIMIT_REFUSALS, (limit.subject_kind, limit.metric, limit.period))
        self.tell(reservation.rules, reservation.meter)
        return refuse(limit, reservation.costs()[counter.metric], left, wait_s)


def _part_of(tokens: int, costs: Sequence[int], refusals: Sequence[Refusal]) -> int:
    """Tell how many of the tokens that were refused could be had."""
    return min(
        (max(0, refusal.left) * tokens // costs[refusal.counter.metric] for refusal in refusals), default=0
    )


def _can_be_had(reservation: Reservation, refusals: Sequence[Refusal]) -> bool:
    """Tell whether a smaller prompt could find room."""
    if reservation.is_counted:
        return False
    least = reservation.completion_tokens + 1
    return all(
        refusal.counter.metric not in _OF_CALLS and (refusal.counter.metric == MONEY or refusal.left >= least)
        for refusal in refusals
    )
