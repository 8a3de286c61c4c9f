from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lmaas import ConfigurationError, Price
from lmaas.evidence import Grade
from lmaas.measuring import (
    SLO,
    BenchPlan,
    BenchReport,
    FixedLength,
    Measurement,
    MeasurementError,
    Target,
    Workload,
    target_of,
)
from lmaas.measuring._budget import Budget, cost_of
from lmaas.measuring._charts import Point, charts_of, pareto_front
from lmaas.measuring._generator import Generator, LegPlan
from lmaas.measuring._journal import Journal
from lmaas.measuring._markdown import markdown_of
from lmaas.measuring._page import page_of
from lmaas.measuring._png import write_pngs
from lmaas.measuring._prompts import Prompt
from lmaas.measuring._record import report_of
from lmaas.measuring._rows import Leg, Row
from lmaas.measuring._run import Bench, RunResult, Watching
from lmaas.measuring._svg import Axis, drawing_of, round_step
from lmaas.measuring._tables import headline, slo_text, tables_of
from lmaas.platforms import Catalogue
from lmaas_gateway.testing import FakeReplica, Script

WORKLOAD = Workload(
    name="tiny",
    prompt_tokens=FixedLength(30),
    output_tokens=FixedLength(4),
    slo=SLO(ttft_s=5),
    calls_per_s=30,
)
PRICE = Price(Decimal(10), Decimal(20), "contract", date(2026, 11, 1))
STARTED = datetime(2026, 11, 26, 10, tzinfo=UTC)


def plan_for(*targets: Target, **changes: Any) -> BenchPlan:
    whole: dict[str, Any] = {
        "targets": targets,
        "workload": WORKLOAD,
        "rates": (40.0, 20.0),
        "blocks": 2,
        "warmup_s": 0.05,
        "measured_s": 0.3,
    }
    return BenchPlan(**{**whole, **changes})


def target(url: str, label: str = "a", **changes: Any) -> Target:
    return Target(label=label, base_url=url, is_self_hosted=True, **changes)


class SlowSender:
    """Answers nothing until all calls are here: a platform that stands still."""

    def __init__(self, wanted: int) -> None:
        self.came: list[float] = []
        self._all_here = asyncio.Event()
        self._wanted = wanted

    async def send(self, prompt: Prompt, *, index: int, due_s: float, begun_s: float) -> Row:
        del prompt, begun_s
        self.came.append(due_s)
        if len(self.came) == self._wanted:
            self._all_here.set()
        await self._all_here.wait()
        return Row(index, due_s, 0.0, "answered", 1.0, 0.5)


class OpenPurse:
    """Pays for so many calls."""

    def __init__(self, calls: int = 10_000) -> None:
        self.left = calls

    def reserve(self, platform: str, prompt: Prompt) -> bool:
        del platform, prompt
        self.left -= 1
        return self.left >= 0

    def settle(self, platform: str, prompt: Prompt, row: Row) -> None:
        pass


def prompt_at(stretch: str, index: int) -> Prompt:
    return Prompt({"prompt": f"{stretch}/{index}"}, 4)


async def test_calls_come_when_they_are_due_however_the_platform_fares() -> None:
    plan = LegPlan(platform="a", calls_per_s=500.0, block=0, warmup_s=0.02, measured_s=0.1)
    sender = SlowSender(len(plan.due_times()))
    leg = await Generator(prompt_at, OpenPurse()).run(plan, sender)
    assert sender.came == plan.due_times()
    assert [row.index for row in leg.rows] == list(range(len(sender.came)))
    assert len(leg.counted) < len(leg.rows)
    assert leg.cpu_share > 0


async def test_money_that_is_spent_ends_a_leg_and_what_is_under_way_is_waited_for() -> None:
    plan = LegPlan(platform="a", calls_per_s=500.0, block=0, warmup_s=0, measured_s=0.1)
    leg = await Generator(prompt_at, OpenPurse(3)).run(plan, SlowSender(3))
    assert len(leg.rows) == 3
    assert leg.stopped == "the spending cap was reached"


def test_every_platform_gets_the_same_arrivals_and_takes_turns_at_being_first() -> None:
    plan = plan_for(target("http://a"), target("http://b", "b"), blocks=2)
    legs = list(plan.legs())
    assert [(leg.platform, leg.calls_per_s, leg.block) for leg in legs] == [
        ("a", 20, 0),
        ("b", 20, 0),
        ("b", 40, 0),
        ("a", 40, 0),
        ("b", 20, 1),
        ("a", 20, 1),
        ("a", 40, 1),
        ("b", 40, 1),
    ]
    assert legs[0].due_times() == legs[1].due_times()
    assert legs[0].due_times() != legs[4].due_times()


async def test_run_over_two_platforms_is_measured_journaled_and_resumed(tmp_path: Path) -> None:
    async with FakeReplica() as near, FakeReplica(script=Script(first_token_delay_s=0.3)) as far:
        plan = plan_for(target(f"{near.url}/v1", price=PRICE), target(f"{far.url}/v1", "b"))
        journal = Journal(tmp_path / "run" / "journal.jsonl")
        journal.begin({"run": "r1", "plan": plan.fingerprint()})
        seen: list[str] = []
        watching = Watching(
            leg_begins=lambda leg, number, count: seen.append(f"{leg.platform} {number}/{count}")
        )
        result = await Bench(plan, journal=journal, watching=watching).run()
    assert len(result.legs) == 8
    assert seen[0] == "a 1/8"
    assert result.models["a"] == result.models["b"] != ""
    assert result.spent_usd > 0
    head, legs = journal.read()
    assert head["models"] == result.models
    assert [leg.key for leg in legs] == [leg.key for leg in result.legs]
    again = await Bench(plan, done=legs, models=head["models"]).run()  # both platforms are gone
    assert again.legs == legs
    assert again.spent_usd == pytest.approx(result.spent_usd, rel=0.2)  # but for the first calls
    report = report_of(plan, result, run_id="r1", started_at=STARTED, command="lmaas bench …")
    pairing = next(one for one in report.pairings if one.calls_per_s == 40)
    assert (pairing.platform, pairing.other) == ("a", "b")
    assert pairing.differences["ttft_s"].value < -0.1


async def test_platform_that_does_not_answer_ends_the_run_before_it_began() -> None:
    async with FakeReplica(script=Script(status=401)) as replica:
        plan = plan_for(target(f"{replica.url}/v1", model="m"))
        with pytest.raises(MeasurementError, match="a did not answer a first call: AuthenticationError 401"):
            await Bench(plan).run()
    with pytest.raises(MeasurementError, match="does not list its models"):
        await Bench(plan_for(target("http://127.0.0.1:9/v1"))).run()


async def test_spending_cap_is_never_passed() -> None:
    async with FakeReplica() as replica:
        plan = plan_for(target(f"{replica.url}/v1", price=PRICE), max_usd=0.02, measured_s=1.0)
        result = await Bench(plan).run()
        assert result.stopped == "the spending cap was reached"
        assert 0 < result.spent_usd <= 0.02
        poor = plan_for(target(f"{replica.url}/v1", price=PRICE), max_usd=1e-9)
        with pytest.raises(MeasurementError, match="no room for a single call"):
            await Bench(poor).run()


def test_cap_wants_a_price_in_dollars() -> None:
    with pytest.raises(ConfigurationError, match="no price is known of a"):
        Budget(1.0, {"a": None})
    yuan = replace(PRICE, currency="CNY")
    with pytest.raises(ConfigurationError, match="is in CNY"):
        Budget(1.0, {"a": yuan})
    assert Budget(None, {"a": None}).reserve("a", Prompt({"prompt": "x" * 10_000}))
    assert cost_of(Row(0, 0, 0, "answered", 1), None) is None


def test_cap_counts_what_calls_under_way_may_still_cost() -> None:
    budget = Budget(0.0013, {"a": PRICE})
    prompt = Prompt({"prompt": "x" * 10}, 20)  # 24 bytes as JSON and at most 20 tokens out: 0.00064 USD
    assert budget.reserve("a", prompt)
    assert budget.reserve("a", prompt)
    assert not budget.reserve("a", prompt)
    budget.settle("a", prompt, Row(0, 0, 0, "answered", 1.0, prompt_tokens=3, output_tokens=1))
    assert budget.spent_usd == pytest.approx(50e-6)
    assert not budget.reserve("a", prompt)
    assert not Budget(0.01, {"a": PRICE}).reserve("a", Prompt({"prompt": "x"}))  # an answer without a limit
    assert not Budget(0.0013, {"a": PRICE}).reserve("a", Prompt({"prompt": "x", "n": 4}, 20))
    tools = Prompt({"prompt": "x", "tools": [{"type": "function", "function": {"name": "y" * 200}}]}, 20)
    assert not Budget(0.0013, {"a": PRICE}).reserve("a", tools)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"targets": ()}, "labels of their own"),
        ({"targets": (target("http://a"), target("http://b"))}, "labels of their own"),
        ({"rates": ()}, "calls a second above 0"),
        ({"rates": (0.0,)}, "calls a second above 0"),
        ({"blocks": 0}, "at least 1 block"),
        ({"measured_s": 0}, "above 0"),
        ({"rates": (float("inf"),)}, "calls a second above 0"),
        ({"rates": (1.0, float("nan"))}, "calls a second above 0"),
        ({"measured_s": float("inf")}, "above 0"),
        ({"warmup_s": float("nan")}, "0 s or more"),
        ({"max_usd": float("nan")}, "spending cap"),
    ],
)
def test_plan_that_cannot_work_says_why(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_for(target("http://a"), **changes)
    assert told in str(caught.value)


def test_journal_forgives_a_broken_last_line_and_refuses_what_is_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin({"run": "r"})
    leg = Leg(platform="a", calls_per_s=1, block=0, warmup_s=0, duration_s=1, rows=())
    journal.append(leg)
    with journal.path.open("a") as file:
        file.write('{"leg": {"platf')
    assert journal.read()[1] == (leg,)
    journal.append(replace(leg, block=1))
    assert [one.block for one in journal.read()[1]] == [0, 1]
    with pytest.raises(ConfigurationError, match="is there already"):
        journal.begin({})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Journal(tmp_path / "none").read()
    (tmp_path / "other").write_text("{}\n")
    with pytest.raises(ConfigurationError, match="is no journal"):
        Journal(tmp_path / "other").read()
    with pytest.raises(ConfigurationError, match="is no folder"):
        Journal(tmp_path / "journal.jsonl" / "deeper").begin({})


def test_targets_are_platforms_of_the_catalogue_or_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-1")
    monkeypatch.setenv("AZURE_API_KEY", "az-1")
    monkeypatch.setenv("LMAAS_API_KEY", "lm-1")
    own = {
        "platforms": {
            "azure": {"base_url": "https://me.openai.azure.com/openai/v1"},
            "free": {"base_url": "http://127.0.0.1:1/v1", "auth": {"kind": "none"}, "is_self_hosted": True},
            "fast": {"models": {"m": {"price": {"input_per_million": 1, "output_per_million": 2}}}},
        }
    }
    catalogue = Catalogue.load(own, list_prices=False)
    groq = target_of("groq/llama-3.1-8b-instant", catalogue)
    assert (groq.label, groq.model, groq.api_key) == ("groq", "llama-3.1-8b-instant", "gsk-1")
    azure = target_of("azure", catalogue, model="gpt")
    assert (azure.api_key, azure.headers) == (None, {"api-key": "az-1"})
    assert target_of("lmaas", catalogue).api_key == "lm-1"
    assert target_of("free/m", catalogue).api_key is None
    url = target_of("fast=http://10.0.0.5:8000/v1", catalogue, model="m")
    assert (url.label, url.base_url, url.is_self_hosted) == ("fast", "http://10.0.0.5:8000/v1", True)
    assert url.price is not None
    assert target_of("http://10.0.0.5:8000/v1", catalogue).label == "10.0.0.5:8000"
    assert "gsk-1" not in repr(groq)
    assert groq.habits("m").max_tokens_name == "max_tokens"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("azure/m", "fill it in"),
        ("groq", "name a model of Groq"),
        ("openai/gpt-4o", "set the environment variable OPENAI_API_KEY"),
        ("nowhere/m", "no platform 'nowhere'"),
        ("empty/m", "is not known"),
        ("near=http://bob:hunter2@10.0.0.5/v1", "give the key as LMAAS_API_KEY"),
    ],
)
def test_target_that_cannot_be_called_says_what_to_do(
    spec: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    catalogue = Catalogue.load({"platforms": {"empty": {}}}, list_prices=False)
    with pytest.raises(ConfigurationError) as caught:
        target_of(spec, catalogue)
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def legs_of(label: str, ttft_s: float, rates: Sequence[float] = (1.0, 2.0), model: str = "m") -> list[Leg]:
    def row(n: int, rate: float) -> Row:
        return Row(n, n / rate, 0.0, "answered", ttft_s * rate + 0.4, ttft_s * rate, (0.1,) * 4, 20, 0, 5)

    return [
        Leg(
            platform=label,
            calls_per_s=rate,
            block=0,
            warmup_s=0,
            duration_s=20,
            rows=tuple(row(n, rate) for n in range(int(20 * rate))),
        )
        for rate in rates
    ]


def report(*labels: str, model: str = "m", slo: SLO | None = None) -> BenchReport:
    targets = [target(f"http://{n}", label, price=PRICE) for n, label in enumerate(labels)]
    plan = plan_for(
        *targets, rates=(1.0, 2.0), workload=replace(WORKLOAD, slo=slo or SLO(ttft_s=0.3), calls_per_s=None)
    )
    legs = [leg for n, label in enumerate(labels) for leg in legs_of(label, 0.1 * (n + 1))]
    result = RunResult(legs=tuple(legs), models=dict.fromkeys(labels, model), spent_usd=0.5, stopped="")
    return report_of(plan, result, run_id="r1", started_at=STARTED, command="lmaas bench `x`")


def test_report_survives_its_file(tmp_path: Path) -> None:
    told = report("a", "b")
    path = tmp_path / "report.json"
    path.write_text(told.to_json())
    assert BenchReport.load(path) == told
    plain = json.loads(path.read_text())
    assert {one["grade"] for one in plain["evidence"]["a/m"]} == {"A"}


@pytest.mark.parametrize(
    ("content", "told"),
    [("[", "is no JSON"), ("{}", "is no report"), ('{"format": 1}', "run_id: Field required")],
)
def test_file_that_is_no_report_says_so(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        BenchReport.load(path)
    assert told in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        BenchReport.load(tmp_path / "none.json")


def by_metric(measurement: Measurement, at_per_s: float | None = None) -> dict[str, Any]:
    return {one.metric: one for one in measurement.evidence(at_per_s)}


def test_evidence_is_of_the_highest_load_that_keeps_the_limits() -> None:
    near, far = report("a", "b").measurements
    assert near.best_sustained is not None
    assert near.best_sustained.offered_per_s == 2
    told = by_metric(near)
    assert told["ttft_p95_s"].value == pytest.approx(0.2)
    assert told["ttft_p95_s"].grade is Grade.A
    assert told["ttft_p95_s"].as_of == STARTED.date()
    assert told["goodput_per_s"].value == 2
    assert told["output_tokens_per_s"].value == pytest.approx(10)
    assert told["error_rate"].high > 0
    assert "at 2 calls/s" in told["ttft_p95_s"].source
    assert by_metric(near, 0.9)["ttft_p95_s"].value == pytest.approx(0.1)
    assert far.best_sustained is not None
    assert far.best_sustained.offered_per_s == 1
    assert by_metric(replace(near, expected_per_s=1.0))["ttft_p50_s"].value == pytest.approx(0.1)
    assert replace(near, levels=()).evidence() == ()
    assert report("a", slo=SLO(ttft_s=0.01)).measurements[0].best_sustained is None


HOSTILE = '<script>alert("x")</script>|`*'


def test_names_of_others_do_no_harm_in_any_report() -> None:
    told = report("a", model=HOSTILE)
    page = page_of(told)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    markdown = markdown_of(told, ["report-x.png"])
    assert not re.search(r"(?<!\\)<script", markdown)
    assert r"\|" in markdown
    assert "![report-x.png](report-x.png)" in markdown


def test_page_needs_nothing_from_elsewhere_and_has_both_colour_schemes() -> None:
    page = page_of(report("a", "b"))
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "prefers-color-scheme: dark" in page
    assert "default-src 'none'" in page
    assert page.count("<svg") == 4
    assert 'name="viewport"' in page


def test_rates_of_failures_are_shown_with_their_interval() -> None:
    table = tables_of(report("a"))[0]
    errors = table.rows[0][table.header.index("errors")]
    assert re.fullmatch(r"0\.0% \(0\.0% to \d+\.\d%\)", errors)


def test_definitions_stand_in_every_report() -> None:
    told = report("a")
    for shown in (page_of(told), markdown_of(told), told.to_json()):
        assert "time to first token" in shown
        assert "GuideLLM" in shown


def test_plots_are_drawn(tmp_path: Path) -> None:
    paths = write_pngs(charts_of(report("$a_", "_b").measurements), tmp_path, "report")
    assert [path.name for path in paths] == [
        "report-latency-against-load.png",
        "report-inter-token-latency-against-load.png",
        "report-throughput-against-concurrency.png",
        "report-pareto-front.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_pareto_front_leaves_out_what_another_point_beats() -> None:
    points = [Point(1, 9), Point(2, 8), Point(2, 7), Point(3, 3), Point(1.5, 8), Point(4, 1)]
    assert pareto_front(points) == (Point(1, 9), Point(2, 8), Point(3, 3), Point(4, 1))
    assert pareto_front([]) == ()


def test_axes_end_at_round_numbers_above_everything() -> None:
    assert [round_step(about) for about in (0.03, 1.2, 5, 7, 0)] == [0.05, 2, 5, 10, 1]
    axis = Axis.over(23, 100, 0)
    assert axis.end == 25
    assert (axis.at(0), axis.at(25)) == (100, 0)
    assert [tick.label for tick in axis.ticks()] == ["0", "5", "10", "15", "20", "25"]
    assert Axis.over(0, 0, 1).end == 1
    drawing = drawing_of(charts_of(report("a").measurements)[0])
    assert drawing.lines[0].path.startswith("M")
    assert all(drawing.left <= x <= drawing.right for x, _, _ in drawing.lines[0].dots)


def test_headline_says_when_the_generator_may_be_the_limit() -> None:
    quiet = report("a")
    assert "the figures are the platforms'" in headline(quiet)
    level = quiet.measurements[0].levels[0]
    late = replace(level, generator=replace(level.generator, limits=("1 % of the calls were sent late",)))
    told = replace(quiet, measurements=(replace(quiet.measurements[0], levels=(late,)),), stopped="no money")
    assert headline(told).startswith("The run ended early: no money. The load generator, not the platform")
    assert "a at 1 calls/s" in headline(told)
    assert slo_text(SLO()) == "no limits"
    assert (
        slo_text(SLO(ttft_s=0.5, e2e_s=2))
        == "TTFT up to 500 ms, end-to-end up to 2000 ms, for 95% of the calls"
    )


def test_notes_say_what_weakens_the_figures() -> None:
    from lmaas.measuring import LoggedCall  # noqa: PLC0415 - only here

    logged = replace(WORKLOAD, calls=(LoggedCall({"prompt": "x"}),), is_estimated=True)
    plan = plan_for(target("http://a"), workload=logged)
    result = RunResult(legs=tuple(legs_of("a", 0.1)), models={"a": "m"}, spent_usd=0)
    told = report_of(plan, result, run_id="r", started_at=STARTED, command="c").notes
    assert any("sent again in every leg" in note for note in told)
    assert any("estimated" in note for note in told)
