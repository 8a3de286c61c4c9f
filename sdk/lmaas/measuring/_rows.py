"""What is noted of each call; a leg of a run is a list of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["answered", "rate_limited", "failed"]


@dataclass(frozen=True, slots=True)
class Row:
    """One call. Times are seconds from the moment it was due.

    Attributes:
        index: Which call of the leg: the same one has the same prompt on every platform.
        due_s: When it was due, from the start of the leg.
        late_s: How long after that the generator sent it.
        outcome: `rate_limited` is an answer 429; `failed` everything else that is no whole answer.
        ttft_s: To the first chunk that says something; None if there was none.
        e2e_s: To the end of the call, good or bad.
        gaps_s: Between the chunks that say something.
        prompt_tokens: As the server told; None if it did not.
        cached_tokens: Of them, those that it had in its cache.
        output_tokens: As the server told, else the number of chunks that say something.
        reason: Of a call that failed, what kind of error it was.
    """

    index: int
    due_s: float
    late_s: float
    outcome: Outcome
    e2e_s: float
    ttft_s: float | None = None
    gaps_s: tuple[float, ...] = field(default=(), repr=False)
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    output_tokens: int | None = None
    reason: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether a whole answer came."""
        return self.outcome == "answered"

    @property
    def tpot_s(self) -> float | None:
        """(end-to-end - TTFT) / (output tokens - 1); None of answers of one token."""
        if self.ttft_s is None or not self.output_tokens or self.output_tokens < 2:
            return None
        return (self.e2e_s - self.ttft_s) / (self.output_tokens - 1)

    def to_list(self) -> list[Any]:
        """Return plain values, times in whole microseconds."""
        return [
            self.index,
            _us(self.due_s),
            _us(self.late_s),
            self.outcome,
            _us(self.e2e_s),
            None if self.ttft_s is None else _us(self.ttft_s),
            [_us(gap) for gap in self.gaps_s],
            self.prompt_tokens,
            self.cached_tokens,
            self.output_tokens,
            self.reason,
        ]

    @classmethod
    def from_list(cls, plain: Sequence[Any]) -> Row:
        """Read what `to_list` wrote."""
        index, due, late, outcome, e2e, ttft, gaps, prompt, cached, output, reason = plain
        return cls(
            index=index,
            due_s=due / 1e6,
            late_s=late / 1e6,
            outcome=outcome,
            e2e_s=e2e / 1e6,
            ttft_s=None if ttft is None else ttft / 1e6,
            gaps_s=tuple(gap / 1e6 for gap in gaps),
            prompt_tokens=prompt,
            cached_tokens=cached,
            output_tokens=output,
            reason=reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One platform at one rate for one stretch of time.

    Attributes:
        platform: The label of the target.
        calls_per_s: The rate at which calls were due.
        block: Which repetition.
        warmup_s: Calls due before this are not counted.
        duration_s: Until when calls were due.
        rows: All calls, those of the warm-up too.
        loop_lags_s: How late a timer of the generator's event loop came, sampled all along.
        cpu_share: Of one core, by the generator.
        stopped: Why it ended early; "" if it did not.
    """

    platform: str
    calls_per_s: float
    block: int
    warmup_s: float
    duration_s: float
    rows: tuple[Row, ...] = field(repr=False)
    loop_lags_s: tuple[float, ...] = field(default=(), repr=False)
    cpu_share: float = 0.0
    stopped: str = ""

    @property
    def key(self) -> tuple[str, float, int]:
        """What tells legs of a run apart."""
        return self.platform, self.calls_per_s, self.block

    @property
    def counted(self) -> tuple[Row, ...]:
        """The calls due after the warm-up."""
        return tuple(row for row in self.rows if row.due_s >= self.warmup_s)

    @property
    def measured_s(self) -> float:
        """How long calls were due that count."""
        return self.duration_s - self.warmup_s

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a journal."""
        return {
            "platform": self.platform,
            "calls_per_s": self.calls_per_s,
            "block": self.block,
            "warmup_s": self.warmup_s,
            "duration_s": self.duration_s,
            "loop_lags_us": [_us(lag) for lag in self.loop_lags_s],
            "cpu_share": round(self.cpu_share, 4),
            "stopped": self.stopped,
            "rows": [row.to_list() for row in self.rows],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Leg:
        """Read what `to_dict` wrote."""
        known = {
            name: plain[name]
            for name in ("platform", "calls_per_s", "block", "warmup_s", "duration_s", "cpu_share", "stopped")
        }
        rows = tuple(Row.from_list(row) for row in plain["rows"])
        return cls(rows=rows, loop_lags_s=tuple(lag / 1e6 for lag in plain["loop_lags_us"]), **known)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
