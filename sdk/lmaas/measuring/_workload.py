"""What is asked of a platform: how long, how often, how alike. Described, or taken from a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

from lmaas.errors import ConfigurationError
from lmaas.measuring._lengths import Lengths
from lmaas.measuring._slo import SLO

HOURS_OF_A_MONTH: Final = 730.0
"""24 x 365.25 / 12, rounded: what clouds bill a month as."""


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call of a log, or of a file of prompts.

    Attributes:
        body: What was sent to `chat/completions` or `completions`, without model and stream.
        at_s: When, in seconds since the first call; None if the log does not tell.
        prompt_tokens: As the log tells or, failing that, as estimated.
        output_tokens: The same of the answer.
    """

    body: Mapping[str, Any] = field(repr=False)
    at_s: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is asked of a platform.

    Attributes:
        name: For reports.
        prompt_tokens: How long prompts are, the common prefix included.
        output_tokens: How long answers are.
        calls_per_s: The mean arrival rate of a day; None if it is not known.
        day: Arrival rate of each hour of the day as a multiple of the mean, 24 numbers; () for no change.
        burstiness: Coefficient of variation of the time between calls: 1 is Poisson, more comes in bursts.
        shared_prefix_share: The share of a prompt's tokens that it has in common with others, 0 to 1.
        languages: Share of the calls by language, such as {"zh": 0.7, "en": 0.3}; {} if not known.
        input_modalities: What prompts hold.
        slo: The limits that calls are to keep.
        calls: Real calls, in their order, where the workload came with some; else prompts are made up.
        is_estimated: Whether lengths were estimated from the texts because the log has no usage.

    Raises:
        ConfigurationError: a figure cannot be.
    """

    name: str
    prompt_tokens: Lengths
    output_tokens: Lengths
    calls_per_s: float | None = None
    day: tuple[float, ...] = ()
    burstiness: float = 1.0
    shared_prefix_share: float = 0.0
    languages: Mapping[str, float] = field(default_factory=dict)
    input_modalities: tuple[str, ...] = ("text",)
    slo: SLO = field(default_factory=SLO)
    calls: tuple[LoggedCall, ...] = field(default=(), repr=False)
    is_estimated: bool = False

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ConfigurationError(f"workload {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        if self.calls_per_s is not None and not 0 < self.calls_per_s < inf:
            return f"`calls_per_s` is {self.calls_per_s!r}; give a rate above 0, or leave it out."
        if self.day and (
            len(self.day) != 24 or not all(0 <= hour < inf for hour in self.day) or not sum(self.day)
        ):
            return "`day` is the rate of each hour as a multiple of the mean: give 24 numbers from 0 on."
        if not 0 < self.burstiness < inf:
            return f"`burstiness` is {self.burstiness!r}; give 1 for Poisson arrivals, more for bursts."
        if not 0 <= self.shared_prefix_share < 1:
            return f"`shared_prefix_share` is {self.shared_prefix_share!r}; give a share from 0 to below 1."
        if (
            any(not 0 <= share <= 1 for share in self.languages.values())
            or sum(self.languages.values()) > 1.000001
        ):
            return "`languages` are shares of the calls: numbers from 0 to 1 that add up to at most 1."
        return None

    @classmethod
    def load(cls, path: str | Path) -> Workload:
        """Read a workload: a description in YAML or JSON, or a log of calls in JSONL.

        Raises:
            ConfigurationError: the file cannot be read, or a line or a field is wrong; says which.
        """
        from lmaas.measuring._workload_file import load_workload  # noqa: PLC0415 - reading needs pydantic

        return load_workload(Path(path))

    @property
    def peak_calls_per_s(self) -> float | None:
        """The arrival rate of the busiest hour; None if no rate is known."""
        return self._at(max(self._relative_day))

    @property
    def low_calls_per_s(self) -> float | None:
        """The arrival rate of the quietest hour; None if no rate is known."""
        return self._at(min(self._relative_day))

    @property
    def calls_per_month(self) -> float | None:
        """Calls of a month of 730 hours; None if no rate is known."""
        return None if self.calls_per_s is None else self.calls_per_s * 3600 * HOURS_OF_A_MONTH

    @property
    def main_language(self) -> str:
        """The language of most calls; "en" if none is known."""
        return max(self.languages, key=self.languages.__getitem__, default="en")

    @property
    def _relative_day(self) -> tuple[float, ...]:
        if not self.day:
            return (1.0,)
        mean = sum(self.day) / len(self.day)
        return tuple(hour / mean for hour in self.day)

    def _at(self, multiple: float) -> float | None:
        return None if self.calls_per_s is None else self.calls_per_s * multiple
