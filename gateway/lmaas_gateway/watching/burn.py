"""How fast an error budget is used up, and when that is an alert: multiwindow, multi-burn-rate.

An objective of 99.9 % leaves a budget: one event of a thousand may be bad. A burn rate of 1 uses it up
exactly within the objective's window. An alert needs two windows to burn: the long one shows that it
matters, the short one, a twelfth of it, that it still goes on.

Source: Beyer et al., The Site Reliability Workbook (Google, 2018), chapter 5, "6: Multiwindow,
Multi-Burn-Rate Alerts", table 5-8: 2 % of the budget of 30 days in 1 h (burn rate 14.4), 5 % in 6 h (6),
10 % in 3 d (1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from lmaas_gateway.settings import Severity

SloName = Literal["ttft", "inter_token", "error_rate", "availability"]

_SHORT = 12


class Counts(NamedTuple):
    """How many events there were, and how many of them were bad; of availability, seconds."""

    bad: float = 0.0
    total: float = 0.0


Over = Callable[[float], Counts]
"""Gives the counts of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What a model promises.

    Attributes:
        objective: Which share of the events must be good, below 1.
        window_s: Over how long.
        threshold_s: How long a good event may take; None where that is not what makes it good.
        min_events: With fewer of them in the long window there is no alert.
    """

    model: str
    name: SloName
    objective: float
    window_s: float
    threshold_s: float | None = None
    min_events: int = 1


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows that must both burn.

    Attributes:
        name: Of the long one, as Prometheus writes it.
        budget_share: Which part of the budget is gone if the long window burns just so fast.
    """

    name: str
    long_s: float
    budget_share: float
    severity: Severity

    @property
    def short_s(self) -> float:
        """The length of the short window."""
        return self.long_s / _SHORT

    def factor(self, window_s: float) -> float:
        """Give the burn rate from which on there is an alert, for an objective over `window_s`."""
        return self.budget_share * window_s / self.long_s


PAIRS = (
    Pair("1h", 3600.0, 0.02, "page"),
    Pair("6h", 21600.0, 0.05, "page"),
    Pair("3d", 259200.0, 0.10, "ticket"),
)
"""The most urgent first."""


@dataclass(frozen=True, slots=True)
class Burning:
    """That a budget is used up too fast.

    Attributes:
        burn_rate: Of the long window.
    """

    pair: Pair
    burn_rate: float
    counts: Counts


def burn_rate(counts: Counts, objective: float) -> float:
    """Give the burn rate of a window: its share of bad events by the share that may be bad; 0 without any."""
    if counts.total <= 0:
        return 0.0
    return counts.bad / counts.total / (1.0 - objective)


def whole(objective: Objective, counts: Counts, window_s: float) -> Counts:
    """Give the counts of a whole window of which only a part may be known.

    Time of which nothing is known was well: a gateway that began a minute ago has not been down for a
    twelfth of an hour. Calls of which nothing is known there were none.
    """
    if objective.name != "availability":
        return counts
    return Counts(counts.bad, max(counts.total, window_s))


def judge(objective: Objective, over: Over) -> Burning | None:
    """Tell which pair of windows burns, the most urgent of them; None if none does."""
    for pair in PAIRS:
        counts = whole(objective, over(pair.long_s), pair.long_s)
        if counts.total < objective.min_events:
            continue
        factor = pair.factor(objective.window_s)
        rate = burn_rate(counts, objective.objective)
        short = whole(objective, over(pair.short_s), pair.short_s)
        if rate >= factor and burn_rate(short, objective.objective) >= factor:
            return Burning(pair, rate, counts)
    return None


def budget_left(objective: Objective, counts: Counts) -> float:
    """Give how much of the budget is left, from 1 down; below 0 the objective is missed.

    Args:
        objective: What was promised.
        counts: Of its whole window.
    """
    return 1.0 - burn_rate(counts, objective.objective)
