"""What one call holds of its limits, from before it goes on until it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.envelope import with_max_tokens
from lmaas_gateway.limits.bounds import bound_completion, bound_field, bound_prompt
from lmaas_gateway.notes import BOUND

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.limits.rules import Rules
    from lmaas_gateway.limits.stage import Limiter
    from lmaas_gateway.limits.table import Stamp, Table
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.replicas.pool import Pool

_TIMEOUT_STATUS = 504


class Reservation:
    """What one call holds: a place among its calls, and the tokens that it may need at most.

    It is opened, then taken, and settled once, whatever happened in between.

    Args:
        limiter: Whose counters are taken from.
        rules: The limits that the call is under.
        call: What was asked.
        pool: Of the model that was asked for.
        meter: Tells in the end what the call needed.

    Attributes:
        call: As the replica is to see it: bounded, where its caller did not bound it.
        prompt_tokens: What is held for the prompt.
        is_counted: Whether that is its number, not a bound of it.
        completion_tokens: What is held for the completion of all choices.
        is_stepwise: Whether a stream takes more as it goes.
    """

    __slots__ = (
        "_grants",
        "_is_held",
        "_limiter",
        "call",
        "completion_tokens",
        "is_counted",
        "is_stepwise",
        "meter",
        "pool",
        "prompt_tokens",
        "rules",
    )

    def __init__(self, limiter: Limiter, rules: Rules, call: Call, pool: Pool, meter: Meter) -> None:
        self._limiter = limiter
        self.meter = meter
        self._is_held = False
        self._grants: list[tuple[Stamp, int, int]] = []
        self.rules = rules
        self.call = call
        self.pool = pool
        self.prompt_tokens = self.completion_tokens = 0
        self.is_counted = True
        self.is_stepwise = False
        if rules.has_tokens:
            self._bound(call)

    def try_take(self) -> bool:
        """Take at once what the call may need, if it can be had without waiting; else `take` must follow."""
        table = self._limiter.table
        if table is None or (self.rules.counts_first and not self.is_counted):
            return False
        costs = self.costs()
        stamp = table.reserve(self.rules.counters, costs)
        if stamp is None:
            return False
        self.hold(stamp, costs)
        return True

    async def take(self) -> Call:
        """Take what the call may need, counting its prompt, and those of others, where that finds room.

        Returns:
            The call, as its replica is to see it.

        Raises:
            GatewayError: a limit leaves no room; the strictest one is named.
        """
        await self._limiter.take(self)
        return self.call

    def costs(self) -> list[int]:
        """What the call may need, by metric."""
        tokens = self.prompt_tokens + self.completion_tokens
        nanos = 0
        if self.rules.has_money:
            nanos = self._limiter.prices.most_nanos(
                self.pool.name, self.prompt_tokens, self.completion_tokens
            )
        return [1, tokens, nanos, 1, tokens]

    def hold(self, stamp: Stamp, costs: list[int]) -> None:
        """Take note of what has been taken for the call."""
        self._is_held = True
        self._grants.append((stamp, costs[1], costs[2]))
        limiter = self._limiter
        limiter.reserved_tokens += costs[1]
        limiter.tell(self.rules, self.meter)
        if not self.is_counted:
            limiter.loose.add(self)

    @property
    def allowance(self) -> Reservation | None:
        """What a stream asks for its tokens, if it must as it goes."""
        return self if self.is_stepwise else None

    def extend_now(self) -> bool:
        """Take one more step of tokens, if that needs no waiting."""
        table = self._limiter.table
        return table is not None and self._take_step(self._limiter.settings.step_tokens, table)

    async def extend(self) -> GatewayError | None:
        """Take one more step of tokens, or what is left of one; else tell which limit has none left."""
        return await self._limiter.extend(self)

    def costs_of_step(self, tokens: int) -> list[int]:
        """What so many more tokens cost, by metric."""
        nanos = 0
        if self.rules.has_money:
            nanos = self._limiter.prices.most_nanos(self.pool.name, 0, tokens)
        return [0, tokens, nanos, 0, tokens]

    def hold_step(self, stamp: Stamp, costs: list[int]) -> None:
        """Take note of more that has been taken."""
        self._grants.append((stamp, costs[1], costs[2]))
        self._limiter.reserved_tokens += costs[1]
        self.completion_tokens += costs[1]

    def _take_step(self, tokens: int, table: Table) -> bool:
        costs = self.costs_of_step(tokens)
        stamp = table.reserve(self.rules.counters, costs)
        if stamp is None:
            return False
        self.hold_step(stamp, costs)
        return True

    def tighten(self, prompt_tokens: int | None) -> None:
        """Hold no more for the prompt than its number of tokens; None where nobody can tell it."""
        if self.is_counted:
            return
        self.is_counted = True
        self._limiter.loose.discard(self)
        if prompt_tokens is None:
            return
        self.meter.prompt_tokens = prompt_tokens
        excess = self.prompt_tokens - prompt_tokens
        self.prompt_tokens = prompt_tokens
        if not self._is_held or excess <= 0:
            return
        stamp, tokens, nanos = self._grants[0]
        freed = (
            nanos - self._limiter.prices.most_nanos(self.pool.name, prompt_tokens, self.completion_tokens)
            if self.rules.has_money and len(self._grants) == 1
            else 0
        )
        freed = max(0, freed)
        self._limiter.reserved_tokens -= excess
        self._grants[0] = (stamp, tokens - excess, nanos - freed)
        self._limiter.store.give_back(self.rules.counters, [0, excess, freed, 0, excess], stamp)

    def settle(self) -> None:
        """Give back what the call did not need, or take what it needed besides; however it ended, once."""
        if not self._is_held:
            return
        self._is_held = False
        limiter = self._limiter
        limiter.loose.discard(self)
        # Most calls took once, and enough.
        stamp, held_tokens, held_nanos = self._grants[0]
        if len(self._grants) > 1:
            held_tokens = sum(grant[1] for grant in self._grants)
            held_nanos = sum(grant[2] for grant in self._grants)
        limiter.reserved_tokens -= held_tokens
        used_tokens, used_nanos = self._used(held_tokens, held_nanos)
        if len(self._grants) > 1 or used_tokens > held_tokens or used_nanos > held_nanos:
            self._settle_steps(held_tokens, held_nanos, used_tokens, used_nanos)
            return
        unused = [0, held_tokens - used_tokens, held_nanos - used_nanos, 1, held_tokens]
        limiter.store.give_back(self.rules.counters, unused, stamp)

    def _settle_steps(self, held_tokens: int, held_nanos: int, used_tokens: int, used_nanos: int) -> None:
        limiter = self._limiter
        more = [0, max(0, used_tokens - held_tokens), max(0, used_nanos - held_nanos), 0, 0]
        if more[1] or more[2]:
            limiter.store.charge(self.rules.counters, more)
        tokens_left, nanos_left = held_tokens - used_tokens, held_nanos - used_nanos
        calls = 1
        # What was taken last counts longest.
        for stamp, tokens, nanos in reversed(self._grants):
            unused = [0, max(0, min(tokens, tokens_left)), max(0, min(nanos, nanos_left)), calls, tokens]
            limiter.store.give_back(self.rules.counters, unused, stamp)
            tokens_left, nanos_left, calls = tokens_left - unused[1], nanos_left - unused[2], 0

    def _bound(self, call: Call) -> None:
        self.is_counted = False
        self.prompt_tokens = bound_prompt(call)
        completion = bound_completion(call)
        if completion is None:
            settings = self._limiter.settings
            if call.is_stream:
                self.is_stepwise = True
                completion = min(settings.step_tokens, self.rules.quarter_tokens)
            else:
                completion = min(settings.unbounded_tokens, self.rules.quarter_tokens)
                body = with_max_tokens(call.body, bound_field(call), completion)
                self.meter.applied |= BOUND
                self.call = msgspec.structs.replace(call, body=body, max_tokens=completion)
        self.completion_tokens = max(0, completion) * call.choices

    def _used(self, held_tokens: int, held_nanos: int) -> tuple[int, int]:
        """Tell what the call needed: what its replica said, nothing if it did not get there.

        Of a reply that is no stream and that its client left, nobody learns what was made of it: what was
        held stands, or a client that leaves just before the end would pay for nothing.
        """
        meter = self.meter
        usage = meter.usage
        if usage is not None:
            tokens = usage.prompt_tokens + usage.completion_tokens
            nanos = self._limiter.prices.cost_nanos(meter) if self.rules.has_money else 0
            return tokens, nanos
        is_unknown = meter.outcome in {"client_gone", "interrupted"} or meter.status == _TIMEOUT_STATUS
        return (held_tokens, held_nanos) if meter.is_sent and is_unknown else (0, 0)
