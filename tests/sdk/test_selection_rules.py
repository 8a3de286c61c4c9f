"""Tests of lmaas.selection's hard rules: pass, fail with the reason, or unknown, which never passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from lmaas import ConfigurationError
from lmaas.measuring import SLO
from lmaas.platforms import Offer, Platform, Retention, Sourced
from lmaas.selection import Candidate, Criterion, Fleet, Kind, Overheads, Rules, Status, TaskSpec
from lmaas.selection._assessment import limits_of
from lmaas.selection._rules import check_facts
from sdk.selection_worlds import candidate, choose, figure, preferences, workload

_KNOWN = Candidate(
    name="known",
    platform=Platform(
        id="known",
        name="Known",
        regions=Sourced(("EU", "us"), "a page"),
        retention=Sourced(Retention(days=30, trains_on_data=False), "a page"),
        routes=Sourced(("chat/completions",), "a page"),
        tools=Sourced(value=True, source="a page"),
        logprobs=Sourced(value=False, source="a page"),
    ),
    offer=Offer(
        platform="known",
        model="m",
        context_tokens=Sourced(8000, "a page"),
        input_modalities=Sourced(("text",), "a page"),
        licence=Sourced("apache-2.0", "a page"),
        tools=Sourced(value=True, source="a card"),
        json_schema=Sourced(value=True, source="a card"),
    ),
    attested={"soc2": Sourced(value=True, source="their auditor")},
)
_BARE = candidate("bare")


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        (Rules(regions=("eu",)), Status.PASS),
        (Rules(regions=("cn",)), Status.FAIL),
        (Rules(max_retention_days=30), Status.PASS),
        (Rules(max_retention_days=0), Status.FAIL),
        (Rules(no_training=True), Status.PASS),
        (Rules(licences=("mit", "apache-2.0")), Status.PASS),
        (Rules(licences=("mit",)), Status.FAIL),
        (Rules(min_context_tokens=8000), Status.PASS),
        (Rules(min_context_tokens=8001), Status.FAIL),
        (Rules(modalities=("text",)), Status.PASS),
        (Rules(modalities=("text", "image")), Status.FAIL),
        (Rules(needs=("tools",)), Status.PASS),
        (Rules(needs=("logprobs",)), Status.FAIL),
        (Rules(needs=("batches",)), Status.UNKNOWN),
        (Rules(needs=("json_schema",)), Status.UNKNOWN),  # the model has it, and of the platform nobody told
        (Rules(routes=("chat/completions",)), Status.PASS),
        (Rules(routes=("embeddings",)), Status.FAIL),
        (Rules(self_hosted=True), Status.FAIL),
        (Rules(attested=("soc2",)), Status.PASS),
        (Rules(attested=("iso27001",)), Status.UNKNOWN),
        (Rules(only=("known",)), Status.PASS),
        (Rules(only=("other",)), Status.FAIL),
        (Rules(never=("known",)), Status.FAIL),
    ],
)
def test_rules_are_held_against_what_is_known(rules: Rules, status: Status) -> None:
    (check,) = check_facts(rules, _KNOWN)
    assert check.status is status
    assert check.reason


@pytest.mark.parametrize(
    "rules",
    [
        Rules(regions=("eu",)),
        Rules(max_retention_days=30),
        Rules(no_training=True),
        Rules(licences=("mit",)),
        Rules(min_context_tokens=1),
        Rules(modalities=("text",)),
        Rules(needs=("tools",)),
        Rules(routes=("chat/completions",)),
        Rules(attested=("soc2",)),
    ],
)
def test_what_nobody_told_is_unknown_and_says_to_ask(rules: Rules) -> None:
    (check,) = check_facts(rules, _BARE)
    assert check.status is Status.UNKNOWN
    assert "ask the platform" in check.reason


def test_own_machines_keep_and_train_nothing() -> None:
    own = replace(_BARE, fleet=Fleet(usd_per_gpu_hour=2))
    rules = Rules(max_retention_days=0, no_training=True, self_hosted=True)
    assert [check.status for check in check_facts(rules, own)] == [Status.PASS] * 3


def test_zero_retention_on_request_passes_and_says_so() -> None:
    platform = replace(_KNOWN.platform, retention=Sourced(Retention(days=30, zero_retention=True), "a page"))
    (check,) = check_facts(Rules(max_retention_days=0), replace(_KNOWN, platform=platform))
    assert check.status is Status.PASS
    assert "asked for" in check.reason


def test_sources_that_disagree_on_a_rule_are_to_be_verified() -> None:
    disputed = Sourced(8000, "one page", others=(Sourced(4000, "another page"),))
    offer = replace(_KNOWN.offer, context_tokens=disputed)
    (check,) = check_facts(Rules(min_context_tokens=6000), replace(_KNOWN, offer=offer))
    assert check.status is Status.UNKNOWN
    assert check.reason == "one page says 8,000, another page says 4,000: verify"


@pytest.mark.parametrize("rules", [Rules(max_retention_days=0), Rules(no_training=True)])
def test_sources_that_disagree_on_what_becomes_of_prompts_are_to_be_verified(rules: Rules) -> None:
    other = Sourced(Retention(days=30, trains_on_data=True), "another page")
    disputed = Sourced(Retention(days=0, trains_on_data=False), "one page", others=(other,))
    (check,) = check_facts(rules, replace(_KNOWN, platform=replace(_KNOWN.platform, retention=disputed)))
    assert check.status is Status.UNKNOWN
    assert check.reason.endswith("verify")


@pytest.mark.parametrize(
    ("percentile", "held"),
    [(0.5, "p50"), (0.7, "p95"), (0.95, "p95"), (0.97, "p99"), (0.999, "p99")],
)
def test_a_share_of_calls_is_held_to_no_weaker_percentile(percentile: float, held: str) -> None:
    (limit,) = limits_of(TaskSpec(), SLO(ttft_s=1, percentile=percentile), Rules())
    assert limit.metric == f"ttft_{held}_s"


@pytest.mark.parametrize("strange", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["best", "worst", "weight", "between"])
def test_anchors_and_weights_are_numbers(field: str, strange: float) -> None:
    facts: dict[str, Any] = {"best": 0.1, "worst": 2.0, "weight": 1.0}
    value = ((strange, 0.5),) if field == "between" else strange
    with pytest.raises(ConfigurationError, match=r"ttft_p95_s: .*finite"):
        Criterion(**{"metric": "ttft_p95_s", **facts, field: value})


@pytest.mark.parametrize(
    ("platform", "model", "status"),
    [
        (True, True, Status.PASS),
        (True, False, Status.FAIL),
        (False, True, Status.FAIL),
        (True, None, Status.UNKNOWN),
        (None, True, Status.UNKNOWN),
        (None, False, Status.FAIL),
    ],
)
def test_a_feature_of_the_model_must_be_known_to_work_on_the_platform_too(
    platform: bool | None, model: bool | None, status: Status
) -> None:
    def fact(told: bool | None) -> Sourced[bool] | None:
        return None if told is None else Sourced(told, "a page")

    one = replace(
        _KNOWN,
        platform=replace(_KNOWN.platform, tools=fact(platform)),
        offer=replace(_KNOWN.offer, tools=fact(model)),
    )
    (check,) = check_facts(Rules(needs=("tools",)), one)
    assert check.status is status
    if status is Status.UNKNOWN:
        assert f"nobody told of the {'model' if model is None else 'platform'}" in check.reason


def _carrying(goodput: float | None, **fleet: Any) -> tuple[Status, str]:
    """What becomes of a fleet that is to carry four calls a second at its peak."""
    own = replace(_BARE, fleet=Fleet(usd_per_gpu_hour=1, **fleet))
    told = [] if goodput is None else [figure("goodput_per_s", goodput, 0.1)]
    asked = workload(day=(4.0, *[20 / 23] * 23))
    (check,) = choose([own], {"bare": told}, workload=asked).options[0].checks
    return check.status, check.reason


def test_machines_that_cannot_carry_the_busiest_hour_fail() -> None:
    assert _carrying(3.0, max_replicas=2)[0] is Status.PASS
    assert _carrying(3.0, max_replicas=1) == (Status.FAIL, "0.75 x (0.675 x to 0.825 x, grade A)")
    assert _carrying(3.0, max_replicas=2, spares=1)[0] is Status.FAIL  # a spare is none for the peak
    assert _carrying(4.0)[0] is Status.UNKNOWN  # the interval goes from 3.6 to 4.4
    assert _carrying(None) == (Status.UNKNOWN, "capacity over peak is not known: measure it")


@dataclass(frozen=True)
class Sized:
    fits: bool
    reason: str


@pytest.mark.parametrize("fits", [True, False])
def test_what_does_not_fit_the_machines_fails(fits: bool) -> None:
    own = replace(_BARE, fit=Sized(fits, "needs 80 GB, has 24 GB"))
    (check,) = check_facts(Rules(), own)
    assert check.status is (Status.PASS if fits else Status.FAIL)
    assert check.reason == "needs 80 GB, has 24 GB"


def _status(value: float, low: float, high: float) -> Status:
    told = figure("ttft_p95_s", value, low=low, high=high)
    selection = choose([_BARE], {"bare": [told]}, preferences(ttft_p95_s=1), slo=SLO(ttft_s=1.0))
    (check,) = selection.options[0].checks
    return check.status


def test_a_limit_is_kept_or_broken_by_the_whole_interval_and_else_too_close_to_tell() -> None:
    assert _status(0.8, 0.7, 0.95) is Status.PASS
    assert _status(0.8, 0.7, 1.05) is Status.UNKNOWN
    assert _status(1.2, 0.95, 1.5) is Status.UNKNOWN
    assert _status(1.2, 1.1, 1.5) is Status.FAIL


def test_a_limit_on_money_that_failures_could_break_is_open_until_they_are_known() -> None:
    # A call costs $0.002: $5,256 a month, and three times that if every call were sent three times.
    def status(most: float) -> tuple[Status, str]:
        (check,) = choose([_BARE], {}, rules=Rules(max_usd_per_month=most)).options[0].checks
        return check.status, check.reason

    assert status(20_000)[0] is Status.PASS
    assert status(9_000) == (Status.UNKNOWN, "$5,256 to $15,768, by what is not known: measure it")
    assert status(5_000)[0] is Status.FAIL


def test_every_kind_of_limit_is_held() -> None:
    told = [
        figure("quality", 0.9, 0.01),
        figure("ttft_p95_s", 0.5, 0.01),
        figure("tpot_p95_s", 0.05, 0.01),
        figure("e2e_p95_s", 5.0, 0.01),
        figure("error_rate", 0.001, 0.01),
    ]
    slo = SLO(ttft_s=1, itl_s=0.1, e2e_s=10, availability=0.99)
    rules = Rules(max_usd_per_month=10_000)
    selection = choose([_BARE], {"bare": told}, slo=slo, rules=rules, task=TaskSpec(minimum_quality=0.8))
    assert {check.metric for check in selection.options[0].checks} == {
        "quality",
        "ttft_p95_s",
        "tpot_p95_s",
        "e2e_p95_s",
        "error_rate",
        "usd_per_month",
    }
    assert selection.winner is not None


def test_unknown_never_passes_and_none_names_the_nearest_misses() -> None:
    rules = Rules(regions=("eu",), min_context_tokens=16_000)
    other = replace(_BARE, name="other", offer=replace(_BARE.offer, context_tokens=Sourced(4000, "a page")))
    selection = choose([other, _KNOWN, _BARE], {}, rules=rules)
    assert selection.answer.kind is Kind.NONE
    assert selection.winner is None
    assert selection.answer.names == ("known", "bare", "other")
    assert "fails “context of 16,000 tokens”: 8,000 (a page)" in selection.option("known").why_not
    assert "unknown “calls stay in eu”" in selection.option("bare").why_not
    assert selection.answer.headline.startswith("None passes the rules; nearest misses: known")


@pytest.mark.parametrize(
    ("names", "evidence", "said"),
    [
        ([], {}, "no candidate"),
        (["a", "a"], {}, "two candidates are called 'a'"),
        (["a"], {"b": []}, "evidence of 'b'"),
    ],
)
def test_candidates_and_evidence_that_do_not_match_are_refused(
    names: list[str], evidence: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        choose([candidate(name) for name in names], evidence)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fleet(usd_per_gpu_hour=-1),
        lambda: Fleet(usd_per_gpu_hour=float("nan")),
        lambda: Fleet(usd_per_gpu_hour=1, spares=1),
        lambda: Overheads(fixed_usd_per_month=float("inf")),
        lambda: Overheads(egress_usd_per_gb=-1),
        lambda: TaskSpec(minimum_quality=2),
    ],
)
def test_inputs_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()
