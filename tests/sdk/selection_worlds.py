"""Candidates of a few lines, and random worlds in which the best one is known, for tests of choosing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from lmaas import Price
from lmaas.evidence import Evidence, Grade, range_of
from lmaas.measuring import SLO, FixedLength, Workload
from lmaas.platforms import Auth, Offer, Platform, RateLimits, Retention, Sourced
from lmaas.selection import METRICS as KNOWN_METRICS
from lmaas.selection import (
    Candidate,
    Criterion,
    Fleet,
    Metric,
    Options,
    Overheads,
    Preferences,
    Rules,
    Selection,
    TaskSpec,
    select,
)
from lmaas.selection._metrics import Family

TODAY = date(2026, 11, 26)
METRICS = ("quality", "ttft_p95_s", "error_rate", "goodput_slope", "goodput_per_s")


def figure(metric: str, value: float, spread: float | None = 0.1, **changes: Any) -> Evidence:
    """A figure measured here, known to within `spread` of itself; None for one without an interval."""
    facts: dict[str, Any] = {
        "metric": metric,
        "value": value,
        "grade": Grade.A,
        "source": "a test",
        "as_of": TODAY,
        "n": 300,
    }
    if spread is not None:
        facts |= {"low": value * (1 - spread), "high": min(value * (1 + spread), range_of(metric)[1])}
    return Evidence(**(facts | changes))


def candidate(name: str, usd_per_million: float | None = 1.0, **changes: Any) -> Candidate:
    """A hosted model of which only the price is known."""
    price = None
    if usd_per_million is not None:
        amount = Decimal(repr(usd_per_million))
        price = Price(amount, amount, source="a contract", as_of=TODAY)
    platform = changes.pop("platform", Platform(id=name, name=name))
    offer = changes.pop("offer", Offer(platform=platform.id, model="m", price=price))
    return Candidate(name=name, platform=platform, offer=offer, **changes)


def workload(**changes: Any) -> Workload:
    """A thousand tokens in and out, once a second."""
    facts: dict[str, Any] = {
        "name": "a test",
        "prompt_tokens": FixedLength(1000),
        "output_tokens": FixedLength(1000),
        "calls_per_s": 1.0,
    }
    return Workload(**(facts | changes))


def preferences(**weights: float) -> Preferences:
    """Criteria with anchors that suit random worlds, weighed as given, all the same where nothing is."""
    anchors = {
        "quality": (1.0, 0.0),
        "ttft_p95_s": (0.1, 2.0),
        "error_rate": (0.0, 0.1),
        "goodput_slope": (1.0, 0.0),
        "goodput_per_s": (5.0, 0.5),
        "usd_per_month": (0.0, 10_000.0),
    }
    chosen = weights or dict.fromkeys(METRICS, 1.0)
    return Preferences(
        tuple(
            Criterion(metric=metric, best=anchors[metric][0], worst=anchors[metric][1], weight=weight)
            for metric, weight in chosen.items()
        )
    )


def choose(
    candidates: list[Candidate],
    evidence: dict[str, list[Evidence]],
    wanted: Preferences | None = None,
    **changes: Any,
) -> Selection:
    """`select` with everything that a test does not state."""
    return select(
        changes.get("task", TaskSpec()),
        changes.get("workload", workload()),
        changes.get("slo"),
        changes.get("rules", Rules()),
        wanted or preferences(),
        candidates,
        evidence,
        Options(draws=changes.get("draws", 1000), today=TODAY),
    )


@dataclass(frozen=True)
class World:
    """Candidates with true figures, and the noisy evidence of them that the tool sees."""

    candidates: list[Candidate]
    truth: dict[str, dict[str, float]]
    evidence: dict[str, list[Evidence]]
    wanted: Preferences

    @property
    def best(self) -> str:
        """Who is truly the best for the stated weights."""
        weights = self.wanted.weights
        return max(
            self.truth,
            key=lambda name: sum(
                weights[c.metric] * c.value(self.truth[name][c.metric]) for c in self.wanted.criteria
            ),
        )


def random_world(seed: int, *, noise: float = 1.0, hide: float = 0.0) -> World:
    """Draw a world: two to six candidates, noise of its own for each figure, and some figures hidden.

    The evidence is centred where a measurement happened to land, with an honest 95 % interval around it.
    """
    rng = random.Random(seed)
    names = [f"c{number}" for number in range(rng.randint(2, 6))]
    wanted = preferences(**{metric: rng.uniform(0.2, 1.0) for metric in METRICS})
    truth = {
        name: {c.metric: rng.uniform(*sorted((c.best, c.worst))) for c in wanted.criteria} for name in names
    }
    evidence = {
        name: [
            _measured(rng, metric, true, noise)
            for metric, true in truth[name].items()
            if rng.random() >= hide
        ]
        for name in names
    }
    return World([candidate(name) for name in names], truth, evidence, wanted)


def _measured(rng: random.Random, metric: str, true: float, noise: float) -> Evidence:
    """An unbiased measurement, as uncertain as its interval says: relative for times, else absolute."""
    if metric in {"ttft_p95_s", "goodput_per_s"}:
        sigma, error = rng.uniform(0.02, 0.2), rng.gauss(0, 1)
        seen = true * 2.718281828 ** (sigma * error)
        wide = 2.718281828 ** (1.96 * sigma * noise)
        return figure(metric, seen, low=seen / wide, high=seen * wide)
    span = 0.1 if metric == "error_rate" else 1.0
    sigma, error = rng.uniform(0.01, 0.1) * span, rng.gauss(0, 1)
    half = 1.96 * sigma * noise
    if metric == "goodput_slope":
        seen = true + sigma * error
        return figure(metric, seen, low=seen - half, high=seen + half)
    seen = min(1.0, max(0.0, true + sigma * error))  # a share, however it was measured
    return figure(metric, seen, low=max(0.0, seen - half), high=min(1.0, seen + half))


@dataclass(frozen=True)
class FullWorld:
    """Candidates of which all is known that can be: every metric, every fact, rules and limits for them."""

    candidates: list[Candidate]
    evidence: dict[str, list[Evidence]]
    wanted: Preferences
    asked: dict[str, Any]

    def answer(self, candidates: list[Candidate], evidence: dict[str, list[Evidence]]) -> Selection:
        """Choose among these in place of the world's own."""
        return choose(candidates, evidence, self.wanted, draws=100, **self.asked)


def full_world(seed: int) -> FullWorld:
    """Draw a world of three, hosted or on own machines, in which rules are passed and missed by chance."""
    rng = random.Random(seed)
    names = ("a", "b", "c")
    wanted = Preferences(
        tuple(
            Criterion(metric=name, best=best, worst=worst, weight=rng.uniform(0.1, 1))
            for name, metric in KNOWN_METRICS.items()
            for best, worst in [_anchors(metric)]
        )
    )

    def maybe(asked: Any) -> Any:  # with all of them at once none would pass, and nobody win
        return asked if rng.random() < 0.3 else None

    asked = {
        "workload": workload(shared_prefix_share=0.4, day=(2.0, *[22 / 23] * 23)),
        "slo": SLO(ttft_s=maybe(rng.uniform(1, 10)), availability=maybe(rng.uniform(0.5, 0.9))),
        "task": TaskSpec(minimum_quality=maybe(rng.uniform(0.2, 0.6))),
        "rules": Rules(
            max_usd_per_month=maybe(rng.uniform(2_000, 40_000)),
            min_context_tokens=maybe(8_000),
            regions=maybe(("eu",)) or (),
            needs=maybe(("tools",)) or (),
        ),
    }
    candidates = [_full_candidate(rng, name) for name in names]
    return FullWorld(candidates, {name: _all_figures(rng) for name in names}, wanted, asked)


def _anchors(metric: Metric) -> tuple[float, float]:
    best, worst = {
        Family.TIME: (0.1, 10.0),
        Family.MONEY: (0.0, 40_000.0 if metric.name == "usd_per_month" else 0.05),
        Family.RATE: (0.0, 1.0),
        Family.SHARE: (0.0, 1.0),
        Family.POINTS: (0.0, min(4.0, range_of(metric.name)[1])),
    }[metric.family]
    return (best, worst) if metric.is_lower_better else (worst, best)


def _all_figures(rng: random.Random) -> list[Evidence]:
    """A figure of each metric that is not computed; half of them without an interval, of any grade."""
    return [
        figure(
            name,
            value,
            rng.choice((None, 0.2)),
            grade=rng.choice(list(Grade)),
            n=rng.choice((None, 40)),
        )
        for name, metric in KNOWN_METRICS.items()
        if not metric.is_computed
        for value in [rng.uniform(0.2, 10) if metric.family is Family.TIME else rng.uniform(0.01, 0.8)]
    ]


def _full_candidate(rng: random.Random, name: str) -> Candidate:
    def fact(*values: Any) -> Sourced[Any]:
        return Sourced(rng.choice(values), "a page", TODAY)

    names = ("tools", "json_schema", "logprobs", "stream_usage", "prompt_cache", "batches")
    features: dict[str, Any] = {feature: fact(True, False) for feature in names}
    platform = Platform(
        id=name,
        name=name,
        auth=fact(Auth(kind="bearer"), Auth(kind="header")),
        routes=fact(("chat/completions",), ()),
        rate_limits=fact(RateLimits(requests_per_minute=30), RateLimits(requests_per_minute=6000)),
        regions=fact(("eu",), ("us", "eu", "cn"), ("us",)),
        retention=fact(Retention(days=0, trains_on_data=False), Retention(days=30, trains_on_data=True)),
        **features,
    )
    inputs, outputs, cached = (Decimal(repr(round(rng.uniform(0.1, 6), 2))) for _ in range(3))
    offer = Offer(
        platform=name,
        model="m",
        # Cached tokens may cost more than others: a list says so now and then.
        price=Price(inputs, outputs, "a page", TODAY, cached_per_million=cached),
        context_tokens=fact(4_000, 32_000),
        tools=fact(True, False),
        json_schema=fact(True, False),
    )
    fleet = Fleet(
        usd_per_gpu_hour=rng.uniform(0.1, 2), spares=rng.choice((0, 1)), max_replicas=rng.choice((4, 40))
    )
    return Candidate(
        name=name,
        platform=platform,
        offer=offer,
        fleet=fleet if rng.random() < 0.4 else None,
        overheads=Overheads(ops_usd_per_hour=50, ops_hours_per_month=rng.choice((2, 30))),
    )
