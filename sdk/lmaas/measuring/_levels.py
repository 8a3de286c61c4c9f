"""From calls to levels: what one platform did at one arrival rate, over all repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from lmaas._cost import Price
from lmaas.measuring._budget import cost_of
from lmaas.measuring._estimate import Distribution, Estimate
from lmaas.measuring._result import GeneratorHealth, Level
from lmaas.measuring._rows import Leg, Row
from lmaas.measuring._slo import SLO
from lmaas.measuring._statistics import Resampling, paired_difference

_LATE_SHARE: Final = 0.05
_LATE_S: Final = 0.002
_LAG_SHARE: Final = 0.2
_LAG_S: Final = 0.005
_CPU_SHARE: Final = 0.9


def level_of(legs: Sequence[Leg], slo: SLO, price: Price | None = None) -> Level:
    """Sum up the legs of one platform at one rate.

    Args:
        legs: Its repetitions.
        slo: What goodput counts.
        price: What the calls cost; None if nobody knows.
    """
    parts = [leg.counted for leg in legs]
    rows = [row for part in parts for row in part]
    duration_s = sum(leg.measured_s for leg in legs)
    again = Resampling([len(part) for part in parts])
    per_s = len(rows) / duration_s if duration_s else 0.0
    answered = [row for row in rows if row.is_answered]
    e2e = again.distribution([row.e2e_s if row.is_answered else None for row in rows])
    ttft = again.distribution([row.ttft_s if row.is_answered else None for row in rows])
    itl = again.pooled([row.gaps_s if row.is_answered else () for row in rows])
    answered_per_s = len(answered) / duration_s if duration_s else 0.0
    costs = [cost_of(row, price) for row in rows]
    return Level(
        offered_per_s=legs[0].calls_per_s,
        duration_s=duration_s,
        calls=len(rows),
        answered_per_s=answered_per_s,
        ttft_s=ttft,
        itl_s=itl,
        tpot_s=again.distribution([row.tpot_s if row.is_answered else None for row in rows]),
        e2e_s=e2e,
        output_tokens_per_s=again.mean([float(_output(row)) for row in rows], per_s),
        stream_tokens_per_s=again.median([_stream_rate(row) for row in rows]),
        goodput_per_s=again.share([is_good(row, slo) for row in rows], per_s),
        error_rate=again.share([row.outcome == "failed" for row in rows]),
        rate_limited_rate=again.share([row.outcome == "rate_limited" for row in rows]),
        concurrency=answered_per_s * e2e.mean.value if e2e else 0.0,
        prompt_tokens_mean=_mean([row.prompt_tokens for row in answered]),
        output_tokens_mean=_mean([row.output_tokens for row in answered]),
        cached_share=_cached_share(answered),
        generator=_health(legs, rows, ttft, itl),
        reasons=dict(Counter(row.reason for row in rows if row.reason).most_common()),
        usd=None if price is None else float(sum(cost or 0 for cost in costs)),
    )


def is_good(row: Row, slo: SLO) -> bool:
    """Tell whether a call counts towards goodput."""
    if not row.is_answered:
        return False
    itl_s = sum(row.gaps_s) / len(row.gaps_s) if row.gaps_s else None
    return slo.is_kept_by(row.ttft_s, itl_s, row.e2e_s)


def paired(ours: Iterable[Leg], theirs: Iterable[Leg], what: str) -> Estimate | None:
    """Return how much longer our calls took than theirs with the same prompts, in seconds.

    Args:
        ours: Legs of one platform at one rate.
        theirs: Legs of another one, at the same rate.
        what: `ttft_s`, `tpot_s` or `e2e_s`.

    Returns:
        The median of the differences, call by call; None if no call was answered by both.
    """
    other = {(leg.block, row.index): getattr(row, what) for leg in theirs for row in _answered(leg)}
    pairs = [
        (getattr(row, what), other.get((leg.block, row.index))) for leg in ours for row in _answered(leg)
    ]
    known = [pair for pair in pairs if None not in pair]
    if not known:
        return None
    mine, yours = zip(*known, strict=True)
    return paired_difference(mine, yours)


def _answered(leg: Leg) -> list[Row]:
    return [row for row in leg.counted if row.is_answered]


def _output(row: Row) -> int:
    return (row.output_tokens or 0) if row.is_answered else 0


def _stream_rate(row: Row) -> float | None:
    tpot_s = row.tpot_s if row.is_answered else None
    return 1 / tpot_s if tpot_s else None


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cached_share(rows: Sequence[Row]) -> float | None:
    prompt = sum(row.prompt_tokens or 0 for row in rows)
    return sum(row.cached_tokens for row in rows) / prompt if prompt else None


def _health(
    legs: Sequence[Leg], rows: Sequence[Row], ttft: Distribution | None, itl: Distribution | None
) -> GeneratorHealth:
    late_s = _p99([row.late_s for row in rows])
    lag_s = _p99([lag for leg in legs for lag in leg.loop_lags_s])
    total_s = sum(leg.duration_s for leg in legs)
    cpu = sum(leg.cpu_share * leg.duration_s for leg in legs) / total_s if total_s else 0.0
    limits = []
    if late_s > max(_LATE_S, _LATE_SHARE * (ttft.p50.value if ttft else 0.0)):
        limits.append(f"1 % of the calls were sent {late_s * 1e3:.1f} ms late or more")
    if lag_s > max(_LAG_S, _LAG_SHARE * (itl.p50.value if itl else 0.0)):
        limits.append(f"1 % of its timers came {lag_s * 1e3:.1f} ms late or more")
    if cpu > _CPU_SHARE:
        limits.append(f"it used {cpu:.0%} of its core")
    return GeneratorHealth(late_p99_s=late_s, loop_lag_p99_s=lag_s, cpu_share=cpu, limits=tuple(limits))


def _p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] if ordered else 0.0
