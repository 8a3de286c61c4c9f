"""Where limits are counted: the seam between what a call holds and who keeps the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.limits.rules import Counter, Limit
    from lmaas_gateway.limits.table import Stamp, Table
    from lmaas_gateway.meter import Meter


class Refusal(NamedTuple):
    """A counter that has too little left.

    Attributes:
        wait_s: After how long there would be enough, if nobody else took any; infinity for never.
    """

    counter: Counter
    left: int
    wait_s: float


class Store(Protocol):
    """Keeps counters. What is taken is taken from all of them or from none; giving back never waits."""

    def counter(self, limit: Limit) -> Counter:
        """Find the counter of a limit, or begin it at zero."""
        ...

    async def reserve(self, counters: Sequence[Counter], costs: Sequence[int]) -> Any | list[Refusal]:
        """Take costs, by metric, from all counters; else tell which refuse.

        Returns:
            What `give_back` must be told, or the refusals.
        """
        ...

    def charge(self, counters: Sequence[Counter], costs: Sequence[int]) -> None:
        """Take costs whatever is left."""
        ...

    def give_back(self, counters: Sequence[Counter], costs: Sequence[int], stamp: Any) -> None:
        """Undo what was taken, or a part of it."""
        ...

    def total(self, counter: Counter) -> int:
        """Tell what a counter came to when it was last seen."""
        ...

    def ends_in_s(self, counter: Counter) -> float:
        """Tell after how many seconds a counter is at its beginning again, if nothing more is taken."""
        ...

    async def start(self) -> None:
        """Begin what goes on by itself."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class LocalStore:
    """The counters of this process, or of this host."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.counter, self.total = table.counter, table.total
        self.give_back = table.give_back

    async def reserve(self, counters: Sequence[Counter], costs: Sequence[int]) -> Stamp | list[Refusal]:
        """Take costs, by metric, from all counters; else tell which refuse."""
        table = self.table
        stamp = table.reserve(counters, costs)
        if stamp is not None:
            return stamp
        return [
            Refusal(
                counter,
                counter.amount - table.total(counter),
                table.wait_s(counter, costs[counter.metric]),
            )
            for counter in table.find_refusing(counters, costs)
        ]

    def charge(self, counters: Sequence[Counter], costs: Sequence[int]) -> None:
        """Take costs whatever is left."""
        self.table.charge(counters, costs)

    async def start(self) -> None:
        """Begin nothing."""

    async def close(self) -> None:
        """End nothing."""

    def ends_in_s(self, counter: Counter) -> float:
        """Tell after how many seconds a counter is at its beginning again, if nothing more is taken."""
        return self.table.ends_in_s(counter.limit.period)


class Prices(Protocol):
    """What tokens cost, in nano-dollars."""

    def most_nanos(self, model: str, prompt_tokens: int, completion_tokens: int) -> int:
        """Tell what so many tokens cost at most."""
        ...

    def cost_nanos(self, meter: Meter) -> int:
        """Tell what a call cost that has ended."""
        ...


class NoPrices:
    """Everything is free."""

    def most_nanos(self, model: str, prompt_tokens: int, completion_tokens: int) -> int:
        """Give nothing."""
        del model, prompt_tokens, completion_tokens
        return 0

    def cost_nanos(self, meter: Meter) -> int:
        """Give nothing."""
        del meter
        return 0
