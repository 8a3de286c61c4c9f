"""How long `select` takes, where nothing else runs."""

from __future__ import annotations

import random
import time

import pytest

from lmaas.evidence import Evidence
from lmaas.selection import Preferences, Score
from sdk.selection_worlds import candidate, choose, figure


@pytest.mark.alone
def test_two_hundred_candidates_and_ten_thousand_draws_take_at_most_a_second() -> None:
    rng = random.Random(1)
    wanted = Preferences.weighing(dict.fromkeys(Score, 1.0))
    evidence: dict[str, list[Evidence]] = {
        f"c{number}": [
            figure(c.metric, rng.uniform(*sorted((c.best, c.worst))) + 1e-4, 0.2)
            for c in wanted.criteria
            if c.metric not in {"ease_of_use", "locations", "usd_per_month"}
        ]
        for number in range(200)
    }
    candidates = [candidate(name, rng.uniform(0.1, 1.0)) for name in evidence]
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        selection = choose(candidates, evidence, wanted, draws=10_000)
        times.append(time.perf_counter() - begun)
    assert selection.winner is not None
    assert sum(selection.robustness.first.values()) == pytest.approx(1)
    # The best of three: what a busy moment of the machine adds is not ours.
    assert min(times) <= 1.0
