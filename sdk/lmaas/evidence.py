"""What a figure rests on: its value, the interval it lies in, and how it came to be known.

Measurements, prices, scores and sizes all become `Evidence` before they are compared, so that a claim never
passes for a measurement. Metrics that several packages tell of have one name each, with its unit at the end:

    ttft_p50_s ttft_p95_s itl_p95_s e2e_p50_s e2e_p95_s   to the first token, between tokens, of the whole
    output_tokens_per_s     of one stream, after its first token
    goodput_per_s           calls a second that kept every limit of the workload, at the highest load that did
    goodput_slope           change of goodput by change of load, both in calls a second: 1 keeps pace, 0: full
    error_rate              failed calls of all calls, 0 to 1, without those that were told to slow down
    rate_limited_rate       calls answered 429 of all calls, 0 to 1
    quality                 the task's own metric, 0 to 1, higher is better
    usd_per_call            price of the mean call of the workload
    parse_failure_rate      answers that could not be read of all answers, 0 to 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from math import inf, isfinite, sqrt
from typing import Any, Final

from lmaas.errors import ConfigurationError


class Grade(StrEnum):
    """How a figure is known, from best to worst; grades compare by letter: `Grade.A < Grade.B`."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"

    @property
    def meaning(self) -> str:
        """What the grade says, in plain words."""
        return _MEANINGS[self]


_SHARES: Final = frozenset(
    {"error_rate", "rate_limited_rate", "quality", "parse_failure_rate", "ease_of_use"}
)
_NORMAL_95: Final = 1.959964
"""Standard deviations of the normal distribution on each side of 95 %."""

_MEANINGS = {
    Grade.A: "measured here",
    Grade.B: "live traffic of our gateway",
    Grade.C: "claim of a vendor or third party",
    Grade.D: "computed by a formula",
    Grade.E: "assumption",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One figure of one candidate, and what it rests on.

    Attributes:
        metric: Its name; see the names at the top of this module.
        value: The best single figure, in `unit`.
        low: Lower end of the 95 % interval; None where nobody estimated one, which is not "exactly `value`".
        high: Upper end of the 95 % interval; None as for `low`.
        unit: "s", "usd", "1/s", "tokens", "bytes", or "" for a share.
        grade: How it is known.
        source: Where a reader finds it again: a URL, a file, a command, or the name of a formula.
        as_of: The day it was measured, read or published; None if nobody knows.
        n: How many observations it is made of; None if it is not made of observations.

    Raises:
        ConfigurationError: a figure is not finite, is none that its metric can have, lies outside its
            interval, or lacks name or source.
    """

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    grade: Grade
    source: str
    as_of: date | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ConfigurationError(f"evidence of {self.metric or 'a metric without a name'}: {problem}")

    def _problem(self) -> str | None:
        if not self.metric or not self.source:
            return "metric and source must be named"
        if problem := self._out_of_range():
            return problem
        if self.low is not None and self.low > self.value:
            return f"low ({self.low:g}) is above the value ({self.value:g})"
        if self.high is not None and self.high < self.value:
            return f"high ({self.high:g}) is below the value ({self.value:g})"
        if self.n is not None and self.n < 1:
            return f"n must be 1 or more, or left out; it is {self.n}"
        return None

    def _out_of_range(self) -> str | None:
        least, most = range_of(self.metric)
        told = {name: getattr(self, name) for name in ("value", "low", "high")}
        known = {name: number for name, number in told.items() if number is not None}
        if not all(map(isfinite, known.values())):
            return "value, low and high must be finite numbers; leave out what is not known"
        for name, number in known.items():
            if not least <= number <= most:
                wanted = "a share from 0 to 1" if most == 1 else "a number that is not below 0"
                return f"{name} is {number:g}; give {wanted}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON and YAML can write; what is not known is left out."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        return plain | {"grade": self.grade.value} | ({"as_of": self.as_of.isoformat()} if self.as_of else {})

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Evidence:
        """Read what `to_dict` wrote.

        Raises:
            ConfigurationError: a field is missing, unknown, or of the wrong kind.
        """
        try:
            day = _day(plain.get("as_of"))
            return cls(**{**plain, "grade": Grade(plain["grade"]), "as_of": day})
        except ConfigurationError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"evidence of {plain.get('metric', 'a metric')}: {error}") from error


def range_of(metric: str) -> tuple[float, float]:
    """Return the least and the most that a figure of `metric` can be; infinite where nothing bounds it."""
    if metric in _SHARES:
        return 0.0, 1.0
    is_counted = metric.endswith("_s") or metric.startswith("usd_") or metric in {"headroom", "locations"}
    return (0.0 if is_counted else -inf), inf


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was seen among `n`: `low <= share <= high`.

    Unlike the share give or take some standard deviations it is right for what is rare, and none in 40 is not
    "never" but up to one in eleven.

    Source: Wilson, Journal of the American Statistical Association 22 (1927), the score interval.
    """
    z, share = _NORMAL_95, min(1.0, max(0.0, share))
    below = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / below
    reach = z / below * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(min(middle - reach, share), 0.0), min(max(middle + reach, share), 1.0)


def _day(told: object) -> date | None:
    """Read a day as JSON or YAML give it; of a moment, its day."""
    if told is None:
        return None
    if isinstance(told, datetime):
        return told.date()
    if isinstance(told, date):
        return told
    if isinstance(told, str):
        return date.fromisoformat(told)
    raise TypeError(f"as_of is {told!r}; write a day such as 2026-01-31")
