"""Evidence of grade B: what live traffic of an lmaas gateway tells in its `/metrics`.

Histograms tell in which bucket a percentile lies, and no more: the bucket's ends are its interval, the value
is interpolated between them as Prometheus' `histogram_quantile` does. TTFT is that of streams alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from lmaas.errors import ConfigurationError
from lmaas.evidence import Evidence, Grade, share_interval
from lmaas.measuring._estimate import Estimate

_SAMPLE: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: \d+)?")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ROUTES: Final = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"})
# Only streams have it, so it names no route.
_TTFT: Final = "lmaas_time_to_first_token_seconds"
_LATENCIES: Final = (
    ("ttft", _TTFT),
    ("e2e", "lmaas_request_duration_seconds"),
)
_LEAST_CALLS: Final = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the text format."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples_of(text: str) -> tuple[Sample, ...]:
    """Read Prometheus' text format.

    Raises:
        ConfigurationError: a line is none of it.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line.strip())
        if match is None:
            raise ConfigurationError(f"line {number} of the metrics is not in Prometheus' text format.")
        try:
            value = float(match["value"])
        except ValueError:
            raise ConfigurationError(f"line {number} of the metrics has no number.") from None
        if not math.isfinite(value):
            continue  # a gauge without a value; counts are finite
        labels = {name: _unescaped(text) for name, text in _LABEL.findall(match["labels"] or "")}
        found.append(Sample(match["name"], labels, value))
    return tuple(found)


def live_evidence(
    now: Sequence[Sample], before: Sequence[Sample] = (), *, model: str, source: str, as_of: date
) -> tuple[Evidence, ...]:
    """Return what a gateway's metrics tell of a model.

    Args:
        now: Its metrics.
        before: The same at the beginning of the window that counts; () counts from the gateway's start.
        model: The model.
        source: Where the metrics are from.
        as_of: The day of `now`.

    Raises:
        ConfigurationError: there were fewer than 20 calls: too few to tell percentiles of.
    """
    counts = _less(_of_model(now, model), _of_model(before, model))
    codes = _calls_by_code(counts)
    calls = round(sum(codes.values()))
    if calls < _LEAST_CALLS:
        message = (
            f"the gateway has seen {calls} calls of {model!r}; {_LEAST_CALLS} are needed to tell of them."
        )
        raise ConfigurationError(message)
    figures = [*_percentiles(counts), *_rates(codes, calls)]
    return tuple(
        Evidence(
            metric=metric,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            unit=unit,
            grade=Grade.B,
            source=source,
            as_of=as_of,
            n=estimate.n,
        )
        for metric, unit, estimate in figures
    )


_Counts = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _of_model(samples: Sequence[Sample], model: str) -> _Counts:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in samples
        if sample.labels.get("model") == model
        and (sample.labels.get("route", "") in _ROUTES or sample.name.startswith(_TTFT))
    }


def _less(now: _Counts, before: _Counts) -> _Counts:
    """Return what was counted since; a count that fell began anew with the gateway."""
    return {
        key: value - before.get(key, 0.0) if value >= before.get(key, 0.0) else value
        for key, value in now.items()
    }


def _calls_by_code(counts: _Counts) -> dict[str, float]:
    codes: dict[str, float] = {}
    for (name, labels), value in counts.items():
        if name == "lmaas_requests_total":
            code = dict(labels).get("code", "")
            codes[code] = codes.get(code, 0.0) + value
    return codes


def _rates(codes: Mapping[str, float], calls: int) -> Iterator[tuple[str, str, Estimate]]:
    limited = round(codes.get("429", 0.0))
    # What callers did wrong says nothing of the platform.
    failed = round(sum(value for code, value in codes.items() if code.startswith("5")))
    for metric, count in (("error_rate", failed), ("rate_limited_rate", limited)):
        share = count / calls
        yield metric, "", Estimate(share, *share_interval(share, calls), calls)


def _percentiles(counts: _Counts) -> Iterator[tuple[str, str, Estimate]]:
    for metric, name in _LATENCIES:
        buckets: dict[float, float] = {}
        for (sample, labels), value in counts.items():
            if sample == f"{name}_bucket":
                end = float(dict(labels).get("le", "inf"))
                buckets[end] = buckets.get(end, 0.0) + value
        if buckets and max(buckets.values()) >= 1:
            for label, share in (("p50", 0.5), ("p95", 0.95)):
                if (estimate := bucket_quantile(buckets, share)) is not None:
                    yield f"{metric}_{label}_s", "s", estimate


def bucket_quantile(buckets: Mapping[float, float], share: float) -> Estimate | None:
    """Return a quantile of a histogram; None if it lies in the last bucket, which has no end.

    Args:
        buckets: Upper ends and how many values lie at or below them.
        share: Which quantile, 0 to 1.

    Source: Prometheus, `histogram_quantile`: linear within the bucket.
    """
    ends = sorted(buckets)
    total = buckets[ends[-1]]
    rank = share * total
    below, low = 0.0, 0.0
    for end in ends:
        if buckets[end] >= rank:
            if math.isinf(end):
                return None
            inside = buckets[end] - below
            value = low + (end - low) * ((rank - below) / inside if inside else 1.0)
            return Estimate(value, low, end, round(total))
        below, low = buckets[end], end
    return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
