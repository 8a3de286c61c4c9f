"""Which platform a call goes to: a plain function over what is known at this moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lmaas.routing._strategy import Strategy

MIN_SAMPLES: Final = 5
"""Figures of fewer requests than this are not compared."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one platform for one call.

    Attributes:
        name: Its name.
        unfit: Why the call cannot go there at all; None if it can.
        resting: Why it is not asked now; None if it may be.
        wait_s: Seconds until it may be asked again.
        was_tried: Whether this call has failed there.
        usd: The price of the call there; None if not known.
        latency_s: The strategy's percentile of its recent times; None with too few of them.
        failures: Of its recent requests, how many failed.
        samples: How many recent requests there were.
    """

    name: str
    unfit: str | None = None
    resting: str | None = None
    wait_s: float = 0.0
    was_tried: bool = False
    usd: float | None = None
    latency_s: float | None = None
    failures: int = 0
    samples: int = 0

    @property
    def is_free(self) -> bool:
        """Whether the call may go there now."""
        return self.unfit is None and self.resting is None and not self.was_tried


@dataclass(frozen=True, slots=True)
class Present:
    """The platform that has the calls, and for how long; None before the first call."""

    name: str | None = None
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A platform by its place in the list, and why it."""

    index: int
    reason: str


def choose(
    views: Sequence[View], strategy: Strategy, present: Present, *, explores: bool = False
) -> Choice | None:
    """Return where a call goes, None if no platform is free.

    A platform without figures comes after all that have them, in the order given: what is not known never
    makes it better. Ties go to the one given first.

    Args:
        views: All platforms, in the order given.
        strategy: By what to choose.
        present: Which platform has the calls.
        explores: Whether this call is to find out about the platform that is known least.
    """
    free = [index for index, view in enumerate(views) if view.is_free]
    if not free:
        return None
    if strategy.by == "order":
        return Choice(free[0], _first_words(views, free[0]))
    if explores and strategy.by != "cheapest":
        least = min(free, key=lambda index: (views[index].samples, index))
        return Choice(least, f"to find out: {views[least].samples} requests of late are the fewest")
    figure, words = _FIGURES[strategy.by]
    best = min(free, key=lambda index: (figure(views[index]), index))
    kept = _kept(views, free, best, strategy, present, figure)
    if kept is not None:
        return Choice(kept, f"stays: {words(views[kept])}; {views[best].name} is not enough better")
    return Choice(
        best, f"{_NAMES[strategy.by]}: {words(views[best])}{_next_words(views, free, best, figure, words)}"
    )


_Figure = Callable[[View], float]


def _kept(
    views: Sequence[View],
    free: Sequence[int],
    best: int,
    strategy: Strategy,
    present: Present,
    figure: _Figure,
) -> int | None:
    """Return the present platform if it keeps the calls although `best` has a better figure."""
    held = next((index for index in free if views[index].name == present.name), None)
    if held is None or held == best or strategy.by == "cheapest":
        return None
    now, then = figure(views[best]), figure(views[held])
    is_much_better = now < then * (1 - strategy.hysteresis)
    return None if is_much_better and present.since_s >= strategy.dwell_s else held


def _price(view: View) -> float:
    return math.inf if view.usd is None else view.usd


def _latency(view: View) -> float:
    return math.inf if view.latency_s is None else view.latency_s


def _unreliability(view: View) -> float:
    """Return how many of its requests may fail: the upper end of Wilson's 68 % interval.

    Ten of ten good ones are better than one of one, and no requests at all tell nothing.
    """
    n = view.samples
    if n < MIN_SAMPLES:
        return math.inf
    share = view.failures / n
    return (share + 1 / (2 * n) + math.sqrt(share * (1 - share) / n + 1 / (4 * n * n))) / (1 + 1 / n)


def _price_words(view: View) -> str:
    return "no price known" if view.usd is None else f"about ${view.usd:.2g}"


def _latency_words(view: View) -> str:
    if view.latency_s is None:
        return f"too few times known ({view.samples})"
    return f"{view.latency_s:.3g} s over {view.samples} requests"


def _reliability_words(view: View) -> str:
    return f"{view.failures} of {view.samples} requests failed"


_FIGURES: Final[dict[str, tuple[_Figure, Callable[[View], str]]]] = {
    "cheapest": (_price, _price_words),
    "fastest": (_latency, _latency_words),
    "most_reliable": (_unreliability, _reliability_words),
}
_NAMES: Final = {"cheapest": "cheapest", "fastest": "fastest", "most_reliable": "most reliable"}


def _first_words(views: Sequence[View], index: int) -> str:
    before = [view.name for view in views[:index]]
    return f"first in order after {', '.join(before)}" if before else "first in order"


def _next_words(
    views: Sequence[View], free: Sequence[int], best: int, figure: _Figure, words: Callable[[View], str]
) -> str:
    rest = [index for index in free if index != best]
    if not rest:
        return "; no other is free"
    second = min(rest, key=lambda index: (figure(views[index]), index))
    return f"; next {views[second].name}, {words(views[second])}"
