from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from lmaas import Price
from lmaas.evidence import Grade
from lmaas.measuring import SLO, Level
from lmaas.measuring._arrivals import due_times
from lmaas.measuring._evidence import goodput_slope
from lmaas.measuring._levels import is_good, level_of, paired
from lmaas.measuring._rows import Leg, Row
from lmaas.measuring._statistics import Resampling, paired_difference


def row(index: int, **changes: object) -> Row:
    whole: dict[str, object] = {
        "index": index,
        "due_s": 1.0 + index,
        "late_s": 0.0,
        "outcome": "answered",
        "e2e_s": 0.5,
        "ttft_s": 0.1,
        "gaps_s": (0.1, 0.1, 0.1, 0.1),
        "prompt_tokens": 10,
        "output_tokens": 5,
    }
    return Row(**{**whole, **changes})  # type: ignore[arg-type]  # as the fields are


def leg(rows: Sequence[Row], **changes: object) -> Leg:
    whole: dict[str, object] = {
        "platform": "a",
        "calls_per_s": 1.0,
        "block": 0,
        "warmup_s": 0.0,
        "duration_s": 10.0,
        "rows": tuple(rows),
    }
    return Leg(**{**whole, **changes})  # type: ignore[arg-type]  # as the fields are


def test_level_by_hand() -> None:
    rows = [row(n) for n in range(8)]
    rows += [row(8, outcome="rate_limited", ttft_s=None, gaps_s=(), reason="RateLimitError 429")]
    rows += [row(9, outcome="failed", ttft_s=None, gaps_s=(), reason="InternalServerError 500")]
    price = Price(Decimal(100), Decimal(200), "contract", date(2026, 11, 1))
    level = level_of([leg(rows)], SLO(ttft_s=0.2), price)
    assert (level.calls, level.duration_s, level.answered_per_s) == (10, 10, 0.8)
    assert (level.goodput_per_s.value, level.error_rate.value, level.rate_limited_rate.value) == (
        0.8,
        0.1,
        0.1,
    )
    assert level.ttft_s is not None
    assert level.tpot_s is not None
    assert (level.ttft_s.p50.value, level.ttft_s.p99.value, level.ttft_s.p50.n) == (0.1, 0.1, 8)
    assert level.tpot_s.mean.value == pytest.approx(0.4 / 4)
    assert level.stream_tokens_per_s is not None
    assert level.stream_tokens_per_s.value == pytest.approx(10)
    assert level.output_tokens_per_s.value == 4
    assert level.concurrency == pytest.approx(0.4)  # Little: 0.8 a second x 0.5 s
    assert level.reasons == {"RateLimitError 429": 1, "InternalServerError 500": 1}
    assert level.usd == pytest.approx(10 * (10 * 100 + 5 * 200) / 1e6)
    assert not level.keeps(SLO(ttft_s=0.2, percentile=0.9))
    assert level.keeps(SLO(ttft_s=0.2, percentile=0.8))
    assert not level.keeps(SLO(ttft_s=0.2, percentile=0.8, availability=0.95))


def test_calls_of_the_warm_up_do_not_count() -> None:
    slow = [row(n, due_s=n / 10, ttft_s=9.0, e2e_s=9.0) for n in range(10)]
    level = level_of([leg([*slow, *(row(10 + n, due_s=2.0 + n) for n in range(8))], warmup_s=2.0)], SLO())
    assert (level.calls, level.duration_s) == (8, 8)
    assert level.ttft_s is not None
    assert level.ttft_s.p99.value == 0.1


def test_level_of_nothing_answered_has_no_latencies() -> None:
    level = level_of([leg([row(n, outcome="failed", ttft_s=None, gaps_s=()) for n in range(9)])], SLO())
    assert (level.ttft_s, level.itl_s, level.stream_tokens_per_s) == (None, None, None)
    assert level.error_rate.value == 1
    assert level.error_rate.low is not None
    assert level.error_rate.low < 0.75
    assert level_of([leg([])], SLO()).calls == 0


def test_goodput_wants_every_limit_and_a_whole_answer() -> None:
    slo = SLO(ttft_s=0.2, itl_s=0.15, e2e_s=1)
    assert is_good(row(0), slo)
    assert not is_good(row(0, ttft_s=0.3), slo)
    assert not is_good(row(0, gaps_s=(0.1, 0.3)), slo)
    assert not is_good(row(0, e2e_s=1.5), slo)
    assert not is_good(row(0, outcome="failed"), slo)


def test_generator_that_is_the_limit_says_why() -> None:
    late = [row(n, late_s=0.2) for n in range(10)]
    health = level_of([leg(late, loop_lags_s=(0.001, 0.2), cpu_share=0.97)], SLO()).generator
    assert health.is_limit
    assert len(health.limits) == 3
    assert "200.0 ms late" in health.limits[0]
    quiet = level_of([leg([row(n) for n in range(10)], loop_lags_s=(0.001,), cpu_share=0.2)], SLO()).generator
    assert not quiet.is_limit


def test_paired_calls_are_compared_with_their_own_twins() -> None:
    source = random.Random(3)
    lengths = [source.uniform(0.1, 5) for _ in range(60)]
    ours = leg([row(n, ttft_s=seconds, due_s=float(n)) for n, seconds in enumerate(lengths)])
    theirs = leg(
        [row(n, ttft_s=seconds + 0.2, due_s=float(n)) for n, seconds in enumerate(lengths)], platform="b"
    )
    difference = paired([ours], [theirs], "ttft_s")
    assert difference is not None
    assert difference.value == pytest.approx(-0.2)
    assert difference.high == pytest.approx(-0.2)  # the spread of the lengths is not in it
    assert paired([ours], [leg([], platform="b")], "ttft_s") is None


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    source = random.Random(11)
    held = 0
    for _ in range(50):
        sample = [source.expovariate(1.0) for _ in range(120)]
        spread = Resampling([60, 60]).distribution(sample)
        assert spread is not None
        assert spread.p50.low is not None
        assert spread.p50.high is not None
        held += spread.p50.low <= 0.6931 <= spread.p50.high
    assert 43 <= held <= 50


def test_calls_that_are_alike_one_after_another_widen_the_interval() -> None:
    source = random.Random(5)
    alike = [value for value in (source.uniform(0, 1) for _ in range(40)) for _ in range(10)]
    mixed = sorted(alike, key=lambda _: source.random())
    width = []
    for sample in (alike, mixed):
        mean = Resampling([400]).mean(sample)
        assert mean.low is not None
        assert mean.high is not None
        width.append(mean.high - mean.low)
    assert width[0] > 1.5 * width[1]


def test_too_few_calls_get_no_interval() -> None:
    few = Resampling([3])
    assert few.share([True, False, True]).low is None
    assert few.mean([1.0, 2.0, 3.0]).high is None
    spread = few.distribution([1.0, 2.0, 3.0])
    assert spread is not None
    assert (spread.p50.value, spread.p50.low) == (2.0, None)
    assert few.pooled([(), (), ()]) is None
    assert paired_difference([1.0], [0.5]).low is None
    assert paired_difference([], []).value == 0


def test_share_that_was_always_so_is_not_certain() -> None:
    never = Resampling([100]).share([False] * 100)
    assert (never.value, never.low) == (0, 0)
    assert never.high == pytest.approx(0.037, abs=0.001)


def test_share_of_what_is_rare_is_no_surer_than_calls_that_are_not_alike_would_make_it() -> None:
    flags = [index == 50 for index in range(100)]
    rare = Resampling([100]).share(flags)
    assert (rare.low, rare.high) == pytest.approx((0.0018, 0.0545), abs=1e-4)  # Wilson's, by the tables
    often = Resampling([100]).share([not flag for flag in flags])
    assert (often.low, often.high) == pytest.approx((1 - 0.0545, 1 - 0.0018), abs=1e-4)


def test_share_of_calls_that_fail_together_is_less_sure() -> None:
    together = Resampling([400]).share([120 <= index < 160 for index in range(400)])
    apart = Resampling([400]).share([index % 10 == 0 for index in range(400)])
    assert together.high is not None
    assert apart.high is not None
    assert together.high > apart.high + 0.01


def test_arrivals_have_their_rate_and_their_bursts() -> None:
    for burstiness in (0.1, 1.0, 3.0):
        due = list(due_times(50, 400, burstiness=burstiness, source=random.Random(1)))
        assert len(due) == pytest.approx(20_000, rel=0.06)
        gaps = [later - earlier for earlier, later in zip([0.0, *due], due, strict=False)]
        mean = sum(gaps) / len(gaps)
        spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
        assert spread / mean == pytest.approx(burstiness, rel=0.1)
    assert list(due_times(5, 9, source=random.Random(2))) == list(due_times(5, 9, source=random.Random(2)))


def levels(*goodputs: float) -> tuple[Level, ...]:
    found = []
    for step, goodput in enumerate(goodputs, 1):
        rate = step * 10.0
        slow = int((1 - goodput / rate) * 100)
        rows = [row(n, due_s=n / rate, ttft_s=9.0 if n < slow else 0.1) for n in range(100)]
        found.append(level_of([leg(rows, calls_per_s=rate, duration_s=100 / rate)], SLO(ttft_s=1)))
    return tuple(found)


def test_slope_is_one_where_goodput_keeps_pace_and_none_of_one_level() -> None:
    keeps = goodput_slope(levels(10, 20))
    full = goodput_slope(levels(10, 10))
    assert keeps is not None
    assert full is not None
    assert keeps.value == pytest.approx(1, abs=0.1)
    assert full.value == pytest.approx(0, abs=0.1)
    assert full.low is not None
    assert full.low < full.value
    assert goodput_slope(levels(10)) is None


def test_grades_of_measurements_are_the_best() -> None:
    assert Grade.A < Grade.B


def test_very_many_calls_are_drawn_less_often_and_not_out_of_memory() -> None:
    many = Resampling([60_000, 40_000])
    estimate = many.share([index % 4 == 0 for index in range(100_000)])
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0.245 < estimate.low < 0.25 < estimate.high < 0.255
    assert many._indices.nbytes <= 200 * 100_000 * 8
