"""Candidates of a few lines, and random worlds in which the best one is known, for tests of choosing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from lmaas import Price
from lmaas.evidence import Evidence, Grade
from lmaas.measuring import FixedLength, Workload
from lmaas.platforms import Offer, Platform
from lmaas.selection import (
    Candidate,
    Criterion,
    Options,
    Preferences,
    Rules,
    Selection,
    TaskSpec,
    select,
)

TODAY = date(2026, 11, 26)
METRICS = ("quality", "ttft_p95_s", "error_rate", "goodput_slope", "headroom")


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
        facts |= {"low": value * (1 - spread), "high": value * (1 + spread)}
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
        "headroom": (5.0, 0.5),
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
    if metric in {"ttft_p95_s", "headroom"}:
        sigma, error = rng.uniform(0.02, 0.2), rng.gauss(0, 1)
        seen = true * 2.718281828 ** (sigma * error)
        wide = 2.718281828 ** (1.96 * sigma * noise)
        return figure(metric, seen, low=seen / wide, high=seen * wide)
    span = 0.1 if metric == "error_rate" else 1.0
    sigma, error = rng.uniform(0.01, 0.1) * span, rng.gauss(0, 1)
    seen, half = true + sigma * error, 1.96 * sigma * noise
    return figure(metric, seen, low=seen - half, high=seen + half)
