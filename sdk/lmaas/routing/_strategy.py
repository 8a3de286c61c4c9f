"""How a platform is chosen, and what is told of each choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from lmaas._options import CircuitBreaker
from lmaas.errors import ConfigurationError

Order: TypeAlias = Literal["order", "cheapest", "fastest", "most_reliable"]
OnInterrupt: TypeAlias = Literal["raise", "restart"]

# Quicker than that of a client of one platform, whose calls have nowhere else to go.
_BREAKER: Final = CircuitBreaker(consecutive_failures=3, min_failing_s=0.0, open_s=10.0)


@dataclass(frozen=True, slots=True)
class Try:
    """One request of a call.

    Attributes:
        platform: Where it went.
        error: The name of the error that it ended with, and its status or deadline; None if it went well.
        duration_s: Until its reply began, or it failed.
    """

    platform: str
    error: str | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class Route:
    """Why a call went where it went: `reply.lmaas_metadata`.

    Attributes:
        platform: Which platform answered; None if none did.
        model: What the model is called there.
        strategy: By which the platform was chosen.
        reason: Why it, in plain words with figures.
        tries: Every request of the call, in order.
        skipped: Platforms that were not asked, with why.
    """

    platform: str | None
    model: str | None
    strategy: Order
    reason: str
    tries: tuple[Try, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a platform is chosen for each call.

    Attributes:
        by: "order" as given · "cheapest" for the call at hand, by price · "fastest" by the percentile below
            of the seconds until a reply began · "most_reliable" by the share of requests that failed. The
            last two know only what this client saw in the last five minutes.
        percentile: Of the times, for "fastest".
        hysteresis: By how much of the present one's figure another platform must be better to take over.
        dwell_s: Seconds that a platform keeps the calls before a better one may take over; one that fails
            keeps nothing.
        explore_every: Each so-many-th call goes to the platform that was asked least of late, so that figures
            stay fresh; 0 for never.
        circuit_breaker: When a platform that keeps failing gets a rest.
        on_interrupt: What to do when a stream breaks after its first item: "raise", or "restart" the call on
            another platform after an item that says so: its `lmaas_restart` is a `Restart`.
        on_route: Told of each call, once its reply has begun or it has failed for good.

    Raises:
        ConfigurationError: a figure is out of range.
    """

    by: Order = "order"
    percentile: float = 0.9
    hysteresis: float = 0.2
    dwell_s: float = 10.0
    explore_every: int = 10
    circuit_breaker: CircuitBreaker = _BREAKER
    on_interrupt: OnInterrupt = "raise"
    on_route: Callable[[Route], object] | None = None

    def __post_init__(self) -> None:
        problem = None
        if self.by not in get_args(Order):
            problem = f"{self.by!r} is none; there are {', '.join(get_args(Order))}"
        elif self.on_interrupt not in get_args(OnInterrupt):
            problem = f"on_interrupt is {self.on_interrupt!r}; give 'raise' or 'restart'"
        elif not 0 < self.percentile < 1:
            problem = f"percentile is {self.percentile!r}; give a share such as 0.9"
        elif not 0 <= self.hysteresis < 1:
            problem = f"hysteresis is {self.hysteresis!r}; give a share such as 0.2"
        elif self.dwell_s < 0 or self.explore_every < 0:
            problem = "dwell_s and explore_every are 0 or more"
        if problem:
            raise ConfigurationError(f"strategy: {problem}.")

    @classmethod
    def of(cls, value: Any) -> Strategy:
        """Read what users may give: a `Strategy`, the name of one, or nothing for "order".

        Raises:
            ConfigurationError: it is something else.
        """
        if isinstance(value, Strategy):
            return value
        if value is None or isinstance(value, str):
            return cls(by=value or "order")  # type: ignore[arg-type]  # checked in __post_init__
        raise ConfigurationError(f"strategy: {type(value).__name__} is not understood; give a Strategy.")


@dataclass(frozen=True, slots=True)
class Restart:
    """Said in a stream that begins anew: all text before it is void.

    Attributes:
        platform: Which goes on, from the beginning.
        after: The name of the error that broke the stream.
        discarded_characters: How long the void text of the first choice is.
    """

    platform: str
    after: str
    discarded_characters: int
