"""What a measurement comes to. Every figure has its interval, and every name its definition beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lmaas.evidence import Evidence, Grade
from lmaas.measuring._estimate import Distribution, Estimate
from lmaas.measuring._slo import SLO

DEFINITIONS: Final[Mapping[str, str]] = {
    "ttft": (
        "time to first token: from the moment a call was due until the first chunk of its answer that holds "
        "text, reasoning or a tool call (vllm bench serve and GuideLLM count from sending; they differ by "
        "how late the generator was, which is shown)"
    ),
    "itl": (
        "inter-token latency: time between two such chunks of one answer, without the wait for the first, "
        "all gaps of all calls together (vllm bench serve counts one more, of about 0, between the role and "
        "the first text of a chat; a server that sends several tokens in a chunk has longer gaps)"
    ),
    "tpot": (
        "time per output token: (end-to-end - TTFT) / (output tokens - 1) of each call, tokens as the server "
        "counts them (as in vllm bench serve; GuideLLM's TPOT is end-to-end / output tokens)"
    ),
    "e2e": "end-to-end latency: from the moment a call was due until its answer was whole",
    "output_tokens_per_s": "output tokens of all calls due in the measured time, a second of it",
    "stream_tokens_per_s": "of one call: (output tokens - 1) / (end-to-end - TTFT), the inverse of its TPOT",
    "goodput": (
        "calls a second that were answered whole and kept every limit of the SLO (AIPerf's and vllm bench "
        "serve's rule); without limits, calls answered whole"
    ),
    "error_rate": "calls that failed for another reason than 429, of all calls due in the measured time",
    "rate_limited_rate": "calls that were answered 429, of all calls due in the measured time",
    "concurrency": "mean number of calls in flight: Little's law, throughput x mean end-to-end latency",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorHealth:
    """How the load generator itself fared: when it is the limit, the figures are not the platform's.

    Attributes:
        late_p99_s: How long after they were due calls were sent.
        loop_lag_p99_s: How late a timer of its event loop came.
        cpu_share: Of one core, over the measured time.
        limits: What says that it is the limit, in words; () if it is not.
    """

    late_p99_s: float
    loop_lag_p99_s: float
    cpu_share: float
    limits: tuple[str, ...] = ()

    @property
    def is_limit(self) -> bool:
        """Whether the generator, not the platform, may be what was measured."""
        return bool(self.limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One platform at one arrival rate, all rounds together. Latencies are None where no call was answered.

    Attributes:
        offered_per_s: Calls a second that were due.
        duration_s: Measured time, warm-up not counted.
        calls: Calls due in it.
        answered_per_s: Calls a second answered whole.
        prompt_tokens_mean: Of the answered calls, as the server counts.
        output_tokens_mean: The same of their answers.
        cached_share: Of the prompt tokens, those that the server had in its cache, as it told.
        concurrency: Calls in flight, on average.
        reasons: What failed calls failed of, and how often.
        usd: What the calls cost; None without a price.
    """

    offered_per_s: float
    duration_s: float
    calls: int
    answered_per_s: float
    ttft_s: Distribution | None
    itl_s: Distribution | None
    tpot_s: Distribution | None
    e2e_s: Distribution | None
    output_tokens_per_s: Estimate
    stream_tokens_per_s: Estimate | None
    goodput_per_s: Estimate
    error_rate: Estimate
    rate_limited_rate: Estimate
    concurrency: float
    prompt_tokens_mean: float | None
    output_tokens_mean: float | None
    cached_share: float | None
    generator: GeneratorHealth
    reasons: Mapping[str, int] = field(default_factory=dict)
    usd: float | None = None

    def keeps(self, slo: SLO) -> bool:
        """Tell whether this load is sustained: `slo.percentile` of the calls keep every limit."""
        if not self.calls or not self.offered_per_s:
            return False
        good_share = self.goodput_per_s.value * self.duration_s / self.calls
        answered = 1 - self.error_rate.value - self.rate_limited_rate.value
        return good_share >= slo.percentile and (slo.availability is None or answered >= slo.availability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One model of one platform under one workload, level after level.

    Attributes:
        platform: The platform's id, or the label that it was given.
        model: The model that was called.
        workload: The workload's name.
        slo: The limits that goodput counts.
        levels: By rising arrival rate.
        run_id: Names the run, in its journal too.
        started_at: In UTC.
        command: What does it again.
        expected_per_s: The arrival rate that the workload is expected to have; None if nobody said.
    """

    platform: str
    model: str
    workload: str
    slo: SLO
    levels: tuple[Level, ...]
    run_id: str
    started_at: datetime
    command: str
    expected_per_s: float | None = None

    @property
    def best_sustained(self) -> Level | None:
        """The highest load at which `slo.percentile` of the calls kept the limits; None if none did."""
        kept = [level for level in self.levels if level.keeps(self.slo)]
        return max(kept, key=lambda level: level.offered_per_s, default=None)

    def evidence(self, at_per_s: float | None = None) -> tuple[Evidence, ...]:
        """Return the figures of one level, in the names of `lmaas.evidence`, as grade A.

        Args:
            at_per_s: The arrival rate whose nearest level is meant; left out: that which is expected; if
                nobody said, the highest load that the SLO allows, else the lowest one measured.
        """
        from lmaas.measuring._evidence import evidence_of  # noqa: PLC0415 - who only measures needs none

        return evidence_of(self, at_per_s, Grade.A)
