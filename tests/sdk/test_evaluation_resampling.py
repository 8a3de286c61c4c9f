from __future__ import annotations

import numpy as np
import pytest

from lmaas.evaluation._metric import Metric, Prediction, mean_of
from lmaas.evaluation._resampling import Resampler, difference_of, interval_of
from lmaas.evidence import share_interval

ACCURACY = mean_of("accuracy", "", lambda made: [float(one.value) for one in made])
ERROR = Metric("error", "", ACCURACY.statistics, ACCURACY.score, is_higher_better=False)


def rows(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    found = ACCURACY.statistics([Prediction(value) for value in values])
    assert found is not None
    return found


def test_the_interval_of_a_share_is_near_the_normal_one() -> None:
    values = [1.0] * 300 + [0.0] * 100
    interval = interval_of(ACCURACY, rows(*values), Resampler(400).scores(ACCURACY, rows(*values)))
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert interval.value == 0.75
    assert interval.low == pytest.approx(0.75 - half, abs=0.006)
    assert interval.high == pytest.approx(0.75 + half, abs=0.006)


def test_twenty_right_answers_are_no_certainty() -> None:
    everything = rows(*[1.0] * 20)
    interval = interval_of(ACCURACY, everything, Resampler(20).scores(ACCURACY, everything))
    assert interval.value == interval.high == 1.0
    assert 0.83 < interval.low < 0.84


def test_the_same_answers_differ_by_nothing_and_one_seed_draws_alike() -> None:
    values = rows(*[1.0, 0.0] * 20)
    first, second = (Resampler(40, seed=5).scores(ACCURACY, values) for _ in range(2))
    assert (first == second).all()
    found = difference_of(ACCURACY, (0.5, 0.5), (first, second), 40)
    assert (found.value, found.p_value, found.is_clear) == (0, 1, False)
    assert -found.low == found.high == pytest.approx(share_interval(0.0, 40)[1])


def test_pairing_shows_a_difference_that_unpaired_intervals_hide() -> None:
    worse = [float(index % 2) for index in range(100)]
    better = [1.0 if index < 8 else value for index, value in enumerate(worse)]
    resampler = Resampler(100)
    scores = [resampler.scores(ACCURACY, rows(*values)) for values in (better, worse)]
    one, other = (
        interval_of(ACCURACY, rows(*each), drawn) for each, drawn in zip((better, worse), scores, strict=True)
    )
    assert one.low < other.high
    found = difference_of(ACCURACY, (one.value, other.value), (scores[0], scores[1]), 100)
    assert found.value == pytest.approx(0.04)
    assert found.is_clear == (found.low > 0)
    assert found.p_value < 0.06


def test_of_an_error_less_is_better() -> None:
    resampler = Resampler(50)
    low, high = (resampler.scores(ERROR, rows(*[each] * 50)) for each in (0.1, 0.4))
    assert difference_of(ERROR, (0.1, 0.4), (low, high), 50).value == pytest.approx(0.3)


def test_noise_that_is_doubled_widens_the_interval() -> None:
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 0.1, 200)
    widths = []
    for factor in (1, 2):
        values = rows(*(0.5 + factor * noise))
        interval = interval_of(ACCURACY, values, Resampler(200).scores(ACCURACY, values))
        widths.append(interval.high - interval.low)
    assert widths[1] > 1.9 * widths[0]


def test_many_examples_are_drawn_in_pieces_that_draw_the_same() -> None:
    values = rows(*[float(index % 3 == 0) for index in range(5000)])
    assert Resampler(5000, draws=900).scores(ACCURACY, values).shape == (900,)


@pytest.mark.parametrize(
    ("examples", "is_clear"), [(1, False), (3, False), (5, False), (6, True), (20, True)]
)
def test_a_few_examples_that_all_agree_tell_no_difference(examples: int, *, is_clear: bool) -> None:
    resampler = Resampler(examples)
    right, wrong = (resampler.scores(ACCURACY, rows(*[each] * examples)) for each in (1.0, 0.0))
    found = difference_of(ACCURACY, (1.0, 0.0), (right, wrong), examples)
    assert found.is_clear is is_clear
    assert found.low < found.value == found.high == 1.0
    assert found.p_value >= 2.0 ** (1 - examples)  # of the exact test of signs
    turned = difference_of(ERROR, (1.0, 0.0), (right, wrong), examples)
    assert (turned.low, turned.high) == (-found.high, -found.low)


def test_two_graded_examples_tell_no_difference_either() -> None:
    resampler = Resampler(2)
    better, worse = (resampler.scores(ACCURACY, rows(*values)) for values in ((0.9, 0.8), (0.3, 0.4)))
    found = difference_of(ACCURACY, (0.85, 0.35), (better, worse), 2)
    assert found.low > 0
    assert (found.is_clear, found.p_value) == (False, 0.5)
