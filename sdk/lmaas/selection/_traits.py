"""What the catalogue's facts come to: ease of use, room for growth, places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from lmaas.evidence import Evidence, Grade
from lmaas.measuring import Workload
from lmaas.platforms import Sourced
from lmaas.selection._candidate import Candidate

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
    platform = candidate.platform
    yield "OpenAI's chat route", _worth(platform.routes, lambda routes: float("chat/completions" in routes))
    yield "one key", _worth(platform.auth, lambda auth: _EASY_AUTH[auth.kind])
    yield "tools", _feature(candidate, "tools")
    yield "JSON schema", _feature(candidate, "json_schema")
    yield "usage of streams", _feature(candidate, "stream_usage")
    yield "log-probabilities", _feature(candidate, "logprobs")
    yield "batches", _feature(candidate, "batches")
    hours = candidate.overheads.ops_hours_per_month
    if hours is not None:
        worth = max(0.0, 1 - hours / _OPS_HOURS_OF_NO_EASE)
        yield "no work for people", Sourced(worth, f"{hours:g} hours a month stated")
    elif not candidate.is_self_hosted:
        yield "no work for people", Sourced(1.0, "hosted by others")


def _feature(candidate: Candidate, feature: str) -> Sourced[float] | None:
    """Return what a feature is worth: 1 if all that must have it do; None if of one of them nobody knows."""
    facts = [_worth(fact, float) for fact in candidate.told_of(feature).values()]
    known = [fact for fact in facts if fact is not None]
    return min(known, key=lambda fact: fact.value) if len(known) == len(facts) else None


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


def headroom(candidate: Candidate, workload: Workload, goodput: Evidence | None) -> Evidence | None:
    """Return how many times the busiest hour's rate fits into the capacity; None where nobody knows.

    Source: capacity is the goodput, times the replicas that there can be beside the spares. More than was
    measured is not assumed: rate limits say what is allowed, not what is served, so they are only noted.
    """
    peak = workload.peak_calls_per_s
    if goodput is None or peak is None:
        return None
    fleet = candidate.fleet
    most = 1 if fleet is None else fleet.max_replicas - fleet.spares

    def over_peak(calls_per_s: float) -> float:
        return calls_per_s * most / peak

    noted = _noted_limits(candidate, workload, goodput) if fleet is None else ""
    return replace(
        goodput,
        metric="headroom",
        value=over_peak(goodput.value),
        low=None if goodput.low is None else over_peak(goodput.low),
        high=None if goodput.high is None else over_peak(goodput.high),
        unit="x",
        source=(f"{most} times {goodput.source}" if most > 1 else goodput.source) + noted,
    )


def _noted_limits(candidate: Candidate, workload: Workload, goodput: Evidence) -> str:
    """Return a remark on rate limits that are below what was measured; "" where there are none."""
    limits = candidate.platform.rate_limits
    if limits is None:
        return ""
    tokens = workload.prompt_tokens.mean + workload.output_tokens.mean
    per_minute = [
        *([limits.value.requests_per_minute] if limits.value.requests_per_minute else []),
        *([limits.value.tokens_per_minute / tokens] if limits.value.tokens_per_minute else []),
    ]
    allowed = min(per_minute, default=float("inf")) / 60
    return f"; only {allowed:.3g} calls/s are said to be allowed ({limits.source})" * (
        allowed < goodput.value
    )


def locations(candidate: Candidate) -> Evidence | None:
    """Return in how many places calls can be served, of which all but one may fail; None where nobody knows.

    Regions of a hosted platform; on own machines one, and the spares. Replicas that the peak needs are no
    further places: else a slow engine, which needs more of them, would look safer.
    """
    fleet, regions = candidate.fleet, candidate.platform.regions
    if fleet is not None:
        source = f"{fleet.spares} spare replicas stated"
        return Evidence(metric="locations", value=1 + fleet.spares, grade=Grade.C, source=source)
    if regions is None:
        return None
    return Evidence(
        metric="locations",
        value=len(regions.value),
        grade=Grade.C,
        source=regions.source,
        as_of=regions.as_of,
    )
