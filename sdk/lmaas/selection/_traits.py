"""What the catalogue's facts come to: ease of use, room for growth, places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from lmaas.evidence import Evidence, Grade
from lmaas.measuring import Workload
from lmaas.platforms import Sourced
from lmaas.selection._candidate import Candidate
from lmaas.selection._spending import replicas

_EASY_AUTH: Final = {"none": 1.0, "bearer": 1.0, "header": 0.5}
_OPS_HOURS_OF_NO_EASE: Final = 40.0


@dataclass(frozen=True, slots=True)
class Point:
    """One part of the ease of use.

    Attributes:
        about: What it is.
        share: How much of the whole it is, 0 to 1.
        value: How much of it the candidate has, 0 to 1; None is not known, and counts 0.
        source: Who says so; "" where nobody does.
        as_of: When.
    """

    about: str
    share: float
    value: float | None
    source: str = ""
    as_of: date | None = None


def ease_points(candidate: Candidate) -> tuple[Point, ...]:
    """Return what the ease of use is made of: the API as others speak it, and the work that is left.

    Source: a checklist whose shares are judgement: 0.3 for the route and the key, 0.5 for what programs build
    on, 0.2 for the people it takes.
    """
    shares = dict.fromkeys(("OpenAI's chat route", "one key"), 0.15)
    facts = dict(_api(candidate))
    shares |= dict.fromkeys(("tools", "JSON schema", "usage of streams"), 0.13)
    shares |= {"log-probabilities": 0.06, "batches": 0.05, "no work for people": 0.20}
    return tuple(_point(name, share, facts.get(name)) for name, share in shares.items())


def _point(name: str, share: float, fact: Sourced[float] | None) -> Point:
    if fact is None:
        return Point(name, share, None)
    return Point(name, share, fact.value, fact.source, fact.as_of)


def _api(candidate: Candidate) -> Iterator[tuple[str, Sourced[float] | None]]:
    platform, offer = candidate.platform, candidate.offer
    yield "OpenAI's chat route", _worth(platform.routes, lambda routes: float("chat/completions" in routes))
    yield "one key", _worth(platform.auth, lambda auth: _EASY_AUTH[auth.kind])
    yield "tools", _worth(offer.tools or platform.tools, float)
    yield "JSON schema", _worth(offer.json_schema or platform.json_schema, float)
    yield "usage of streams", _worth(platform.stream_usage, float)
    yield "log-probabilities", _worth(platform.logprobs, float)
    yield "batches", _worth(platform.batches, float)
    hours = candidate.overheads.ops_hours_per_month
    if hours is not None:
        worth = max(0.0, 1 - hours / _OPS_HOURS_OF_NO_EASE)
        yield "no work for people", Sourced(worth, f"{hours:g} hours a month stated")
    elif not candidate.is_self_hosted:
        yield "no work for people", Sourced(1.0, "hosted by others")


def _worth(fact: Sourced[Any] | None, worth: Any) -> Sourced[float] | None:
    return None if fact is None else Sourced(worth(fact.value), fact.source, fact.as_of)


def ease_of_use(points: tuple[Point, ...]) -> Evidence:
    """Return the points' sum; what is not known counts 0."""
    known = [point for point in points if point.value is not None]
    days = [point.as_of for point in known if point.as_of is not None]
    return Evidence(
        metric="ease_of_use",
        value=sum(point.share * (point.value or 0.0) for point in points),
        grade=Grade.C,
        source=f"{len(known)} of {len(points)} facts of the catalogue",
        as_of=min(days, default=None),
    )


def headroom(candidate: Candidate, workload: Workload, cells: Mapping[str, Evidence]) -> Evidence | None:
    """Return how many times the busiest hour's rate fits into the capacity; None where nobody knows.

    Source: capacity is the lowest of what was measured (times the replicas there can be) and the rate limits
    of calls and tokens; more than was measured is not assumed.
    """
    peak = workload.peak_calls_per_s
    if peak is None:
        return None
    capacities = [c for c in (_measured(candidate, cells), _allowed(candidate, workload)) if c is not None]
    if not capacities:
        return None
    least = min(capacities, key=lambda evidence: evidence.value)

    def over_peak(figure: float | None) -> float | None:
        return None if figure is None else figure / peak

    return Evidence(
        metric="headroom",
        value=least.value / peak,
        low=over_peak(least.low),
        high=over_peak(least.high),
        unit="x",
        grade=least.grade,
        source=least.source,
        as_of=least.as_of,
        n=least.n,
    )


def _measured(candidate: Candidate, cells: Mapping[str, Evidence]) -> Evidence | None:
    goodput = cells.get("goodput_per_s")
    if goodput is None or candidate.fleet is None:
        return goodput
    most = candidate.fleet.max_replicas
    ends = {end: None if (g := getattr(goodput, end)) is None else g * most for end in ("low", "high")}
    return Evidence(
        metric="goodput_per_s",
        value=goodput.value * most,
        **ends,
        unit=goodput.unit,
        grade=goodput.grade,
        source=f"{most} times {goodput.source}",
        as_of=goodput.as_of,
        n=goodput.n,
    )


def _allowed(candidate: Candidate, workload: Workload) -> Evidence | None:
    limits = candidate.platform.rate_limits
    if limits is None:
        return None
    tokens = workload.prompt_tokens.mean + workload.output_tokens.mean
    per_minute = [
        *([limits.value.requests_per_minute] if limits.value.requests_per_minute else []),
        *([limits.value.tokens_per_minute / tokens] if limits.value.tokens_per_minute else []),
    ]
    if not per_minute:
        return None
    return Evidence(
        metric="goodput_per_s",
        value=min(per_minute) / 60,
        unit="1/s",
        grade=Grade.C,
        source=f"rate limits: {limits.source}",
        as_of=limits.as_of,
    )


def locations(candidate: Candidate, workload: Workload, cells: Mapping[str, Evidence]) -> Evidence | None:
    """Return in how many regions, or on how many replicas, calls can be served; None where nobody knows."""
    regions, goodput = candidate.platform.regions, cells.get("goodput_per_s")
    if candidate.fleet is not None:
        if goodput is None or workload.peak_calls_per_s is None or goodput.value <= 0:
            return None
        count = replicas(candidate.fleet, workload.peak_calls_per_s, goodput.value)
        return Evidence(
            metric="locations",
            value=count,
            grade=goodput.grade,
            source=f"replicas for the peak: {goodput.source}",
            as_of=goodput.as_of,
        )
    if regions is None:
        return None
    return Evidence(
        metric="locations",
        value=len(regions.value),
        grade=Grade.C,
        source=regions.source,
        as_of=regions.as_of,
    )
