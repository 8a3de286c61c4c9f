"""Tests of lmaas.evidence: figures that know what they rest on."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from lmaas import ConfigurationError
from lmaas.evidence import Evidence, Grade, share_interval


def evidence(**changes: Any) -> Evidence:
    facts: dict[str, Any] = {
        "metric": "ttft_p95_s",
        "value": 0.3,
        "low": 0.2,
        "high": 0.5,
        "unit": "s",
        "grade": Grade.A,
        "source": "lmaas bench",
        "as_of": date(2026, 11, 26),
        "n": 300,
    }
    return Evidence(**(facts | changes))


def test_grades_are_ordered_and_say_what_they_mean() -> None:
    assert sorted(Grade) == [Grade.A, Grade.B, Grade.C, Grade.D, Grade.E]
    assert Grade.A.meaning == "measured here"
    assert len({grade.meaning for grade in Grade}) == len(Grade)


def test_evidence_survives_json() -> None:
    told = evidence()
    assert Evidence.from_dict(json.loads(json.dumps(told.to_dict()))) == told


def test_what_is_not_known_is_not_written() -> None:
    bare = evidence(low=None, high=None, as_of=None, n=None)
    assert set(bare.to_dict()) == {"metric", "value", "unit", "grade", "source"}
    assert Evidence.from_dict(bare.to_dict()) == bare


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": float("nan")}, "finite"),
        ({"high": float("inf")}, "finite"),
        ({"low": 0.4}, "low .0.4. is above the value .0.3."),
        ({"high": 0.1}, "high .0.1. is below"),
        ({"n": 0}, "n must be 1 or more"),
        ({"source": ""}, "must be named"),
        ({"metric": ""}, "a metric without a name"),
        (
            {"metric": "quality", "value": 85.0, "low": None, "high": None},
            "value is 85; give a share from 0 to 1",
        ),
        ({"metric": "error_rate", "value": 0.5, "high": 1.5}, "high is 1.5; give a share"),
        ({"value": -0.3, "low": -0.4}, "ttft_p95_s: value is -0.3; give a number that is not below 0"),
        ({"low": -0.1}, "low is -0.1"),
        ({"metric": "usd_per_call", "value": -1.0, "low": None}, "usd_per_call: value is -1"),
    ],
)
def test_a_figure_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        evidence(**changes)


@pytest.mark.parametrize("changes", [{"grade": "F"}, {"colour": "red"}, {"as_of": "yesterday"}, {"n": 0}])
def test_evidence_of_a_file_that_is_not_evidence_is_refused_by_its_metric(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="ttft_p95_s"):
        Evidence.from_dict(evidence().to_dict() | changes)


def test_evidence_of_yaml_may_tell_a_moment_and_never_a_number() -> None:
    plain = evidence().to_dict()
    moment = datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert Evidence.from_dict(plain | {"as_of": moment}).as_of == date(2026, 11, 1)
    assert type(Evidence.from_dict(plain | {"as_of": moment}).as_of) is date
    with pytest.raises(ConfigurationError, match="as_of is 2026; write a day"):
        Evidence.from_dict(plain | {"as_of": 2026})


def test_evidence_without_a_grade_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="grade"):
        Evidence.from_dict({"metric": "quality", "value": 1.0, "source": "x"})


def test_what_nothing_bounds_may_be_below_0() -> None:
    assert evidence(metric="goodput_slope", value=-0.1, low=-0.3).value == -0.1


def test_interval_of_a_share_is_that_of_the_tables() -> None:
    assert share_interval(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert share_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert share_interval(0.0, 100) == pytest.approx((0, 0.0370), abs=1e-4)
    for n in (1, 7, 1000):
        for share in (0.0, 0.3, 1.0):
            low, high = share_interval(share, n)
            assert 0 <= low <= share <= high <= 1
