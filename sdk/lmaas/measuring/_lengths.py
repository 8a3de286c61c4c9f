"""How long prompts and answers are: one number, a described spread, or what a log held."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from lmaas.errors import ConfigurationError

MOST_TOKENS: Final = 1_000_000_000
"""More than any prompt or answer has: what is beyond is no length."""


class Lengths(ABC):
    """A distribution of numbers of tokens."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """The mean, in tokens."""

    @abstractmethod
    def quantile(self, share: float) -> float:
        """Return the length that `share` of all lengths do not exceed, in tokens."""

    def draw(self, source: random.Random) -> int:
        """Draw one length, in whole tokens, at least 1."""
        return max(1, round(self.quantile(source.random())))


@dataclass(frozen=True, slots=True)
class FixedLength(Lengths):
    """Always the same."""

    tokens: int

    def __post_init__(self) -> None:
        _check("fixed", self.tokens)

    @property
    def mean(self) -> float:
        """The length itself."""
        return float(self.tokens)

    def quantile(self, share: float) -> float:  # noqa: ARG002 - the same for each
        """Return the length itself."""
        return float(self.tokens)


@dataclass(frozen=True, slots=True)
class UniformLengths(Lengths):
    """Each length from `low` to `high` equally often."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check("uniform", self.low)
        _check("uniform", self.high)
        if self.high < self.low:
            message = f"uniform: the second length ({self.high}) is below the first ({self.low})."
            raise ConfigurationError(message)

    @property
    def mean(self) -> float:
        """Half way."""
        return (self.low + self.high) / 2

    def quantile(self, share: float) -> float:
        """Return the smallest length that at least `share` of all do not exceed."""
        rank = math.ceil(share * (self.high - self.low + 1))
        return float(self.low + max(rank, 1) - 1)


@dataclass(frozen=True, slots=True)
class LognormalLengths(Lengths):
    """Most are short and a few are long, as people's texts are.

    Attributes:
        p50: Half of all are no longer.
        p95: All but one in twenty are no longer.

    Source: the lognormal's quantile, exp(mu + sigma z); its mean, exp(mu + sigma^2 / 2).
    """

    p50: float
    p95: float

    def __post_init__(self) -> None:
        _check("lognormal: p50", self.p50)
        _check("lognormal: p95", self.p95)
        if self.p95 < self.p50:
            message = f"lognormal: p95 ({self.p95:g}) is below p50 ({self.p50:g})."
            raise ConfigurationError(message)

    @property
    def mean(self) -> float:
        """exp(mu + sigma^2 / 2)."""
        return self.p50 * math.exp(self._sigma**2 / 2)

    def quantile(self, share: float) -> float:
        """Return exp(mu + sigma z); the ends, which have none, are cut at 1 in 10,000."""
        bounded = min(max(share, 1e-4), 1 - 1e-4)
        return self.p50 * math.exp(self._sigma * NormalDist().inv_cdf(bounded))

    @property
    def _sigma(self) -> float:
        return math.log(self.p95 / self.p50) / NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, slots=True)
class ObservedLengths(Lengths):
    """The lengths that a log held, in ascending order."""

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigurationError("observed lengths: there is none; the log holds no call.")
        object.__setattr__(self, "values", tuple(sorted(self.values)))

    @property
    def mean(self) -> float:
        """The mean of what was seen."""
        return sum(self.values) / len(self.values)

    def quantile(self, share: float) -> float:
        """Return the smallest length seen that at least `share` of all do not exceed."""
        rank = math.ceil(share * len(self.values))
        return float(self.values[min(max(rank, 1), len(self.values)) - 1])


def _check(name: str, tokens: float) -> None:
    if not 1 <= tokens <= MOST_TOKENS:
        message = f"{name}: {tokens:g} is no length; give tokens from 1 to {MOST_TOKENS:,}."
        raise ConfigurationError(message)
