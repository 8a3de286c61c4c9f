"""Figures are judged and told as they are: medians of paired rounds, nothing from failed runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench import cli, contest, engine, records, report
from bench.confidence import median_interval
from bench.loadgen import Figures, Load, figures
from bench.section import Say, Section, Verdict
from bench.side_by_side import Contest, Round


def round_of(cpu_us: float, *, errors: int = 0) -> Round:
    return Round(
        cpu_us_per_call=cpu_us,
        cpu_us_per_event=cpu_us / 10,
        calls_per_s=1e6 / cpu_us,
        events_per_s=1e7 / cpu_us,
        p50_ms=0.2,
        p99_ms=0.9,
        added_p50_ms=0.1,
        added_p99_ms=0.5,
        errors=errors,
    )


def contest_of(name: str, *cpu_us: float) -> Contest:
    return Contest(
        gateway=name,
        version="1",
        rounds=tuple(round_of(value) for value in cpu_us),
        idle_rss_bytes=70_000_000,
        open_streams_rss_bytes=160_000_000,
        open_streams=1000,
    )


CONTESTS = contest.Contests(
    contests=(
        contest_of("lmaas", 40, 90, 50),
        contest_of("vllm-router", 100, 150, 60),
        contest_of("smg", 20, 41, 39),
    ),
    absent=("litellm",),
)


def words(judged: list[Verdict]) -> dict[str, str]:
    return {verdict.goal: verdict.word for verdict in judged}


class TestContest:
    def test_a_round_is_compared_with_the_same_round_only(self) -> None:
        ours, router, _ = CONTESTS.contests
        assert ours.ratios(router, "cpu_us_per_call") == [0.4, 0.6, pytest.approx(50 / 60)]
        judged = words(list(contest.judge(CONTESTS)))
        assert judged["CPU per plain call, lmaas: ≤ 0.75 of vllm-router's"] == "met"
        assert judged["CPU per plain call, lmaas: ≤ 1.4 of smg's"] == "**missed**"
        assert judged["CPU per plain call, lmaas, bare: ≤ 0.65 of vllm-router's"] == "not measured"
        assert judged["RSS ≤ 80 MB idle"] == "met"
        assert judged["RSS ≤ 150 MB with 1,000 open streams"] == "**missed**"

    def test_peer_that_failed_calls_is_no_yardstick(self) -> None:
        ours, router, _ = CONTESTS.contests
        failing = replace(router, rounds=(*router.rounds[:2], round_of(10, errors=1)))
        judged = contest.judge(contest.Contests(contests=(ours, failing)))
        assert {verdict.word for verdict in judged[:8]} == {"not measured"}

    def test_page_tells_ranges_ratios_and_absentees(self) -> None:
        text = contest.describe(CONTESTS)
        assert "50.0 (40.0 to 90.0)" in text
        assert "| lmaas's share of vllm-router's CPU per plain call | 0.600 (0.400 to 0.833) |" in text
        assert "not measured: litellm" in text


class TestEngine:
    def comparisons(self, *ratios: float) -> engine.Comparisons:
        pairs = tuple(engine.Pair(100, 100 * ratio, 0) for ratio in ratios)
        one = engine.Comparison("streams", "tokens/s", pairs)
        return engine.Comparisons(one, replace(one, title="texts"))

    def test_throughput_below_its_floor_is_missed(self) -> None:
        assert engine.judge(self.comparisons(0.97))[0].word == "**missed**"
        assert engine.judge(self.comparisons(0.99))[0].word == "met"

    def test_page_tells_how_sure_the_ratio_is(self) -> None:
        assert "1.000 (0.500 to 1.200)" in engine.describe(self.comparisons(0.5, 1.0, 1.2))

    def test_each_side_goes_first_every_other_round(self) -> None:
        order: list[str] = []

        def run(load: Load) -> Figures:
            order.append(load.address)
            return replace(figures([], wanted=1, seconds=1), tokens=90 if load.address == "through" else 100)

        said: list[str] = []
        turns = engine.Interleaver(run, said.append)
        pairs = turns.pairs(Load(address="through"), "direct", lambda one: one.tokens_per_s, rounds=2)
        assert order[2:] == ["direct", "through", "through", "direct"]
        assert [(pair.ratio, pair.errors) for pair in pairs] == [(0.9, 2), (0.9, 2)]
        assert said[1].endswith("round 2 of 2: 0.900 of direct")

    def test_a_relay_takes_its_turn_too(self) -> None:
        order: list[str] = []

        def run(load: Load) -> Figures:
            order.append(load.address)
            return replace(figures([], wanted=0, seconds=1), tokens=80 if load.address == "relay" else 100)

        said: list[str] = []
        turns = engine.Interleaver(run, said.append)
        pairs = turns.pairs(
            Load(address="through"), "direct", lambda one: one.tokens_per_s, rounds=3, relay="relay"
        )
        assert [order[at] for at in (3, 6, 9)] == ["direct", "through", "relay"]
        assert {pair.relay_per_s for pair in pairs} == {80}
        one = engine.Comparison("texts", "calls/s", pairs)
        assert "| 1.000 (1.000 to 1.000) | 0.800 | 0 |" in engine.describe(engine.Comparisons(one, one))


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (1, 1)), (5, (1, 5)), (6, (1, 6)), (10, (2, 9)), (20, (6, 15))]
)
def test_interval_of_a_median(count: int, expected: tuple[int, int]) -> None:
    assert median_interval(list(range(count, 0, -1))) == expected


@dataclass(frozen=True, slots=True)
class Outcome:
    value: float


def section(name: str, value: float | None) -> Section[Any]:
    """Make a section that measures `value`, or fails."""

    def measure(is_quick: bool, say: Say) -> Outcome:
        if value is None:
            raise OSError("no such engine")
        return Outcome(value)

    def judge(result: Outcome | None) -> list[Verdict]:
        return [Verdict(f"{name} ≤ 2", None if result is None else result.value, 2)]

    return Section(
        name=name,
        title=name.title(),
        result=Outcome,
        measure=measure,
        judge=judge,
        describe=lambda result: f"value {result.value}",
    )


class TestRun:
    """Runs of sections that are a few lines long."""

    @pytest.fixture(autouse=True)
    def _own_place(self, tmp_path: Path) -> None:
        self.place = cli.Place(tmp_path / "records", tmp_path / "page.md")

    def run(
        self, monkeypatch: pytest.MonkeyPatch, one: float | None, other: float | None, *names: str
    ) -> int:
        sections = (section("one", one), section("other", other))
        monkeypatch.setattr(cli, "SECTIONS", sections)
        chosen = [each for each in sections if not names or each.name in names]
        return cli.run(chosen, self.place, is_quick=False)

    def test_every_section_is_measured_and_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.run(monkeypatch, 1, 1) == 0
        text = self.place.page.read_text()
        assert "| one ≤ 2 | 1 | met |" in text
        assert "value 1" in text
        assert 'make bench ARGS="--only other"' in text

    def test_a_failing_section_keeps_its_last_figures_and_costs_the_others_nothing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.run(monkeypatch, 1, 1)
        assert self.run(monkeypatch, None, 1.5) == 2
        text = self.place.page.read_text()
        assert "| one ≤ 2 | 1 | met |" in text
        assert "| other ≤ 2 | 1.5 | met |" in text
        assert "no such engine" in capsys.readouterr().out

    def test_sections_can_be_measured_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(monkeypatch, 1, 1)
        assert self.run(monkeypatch, None, 3, "other") == 1
        text = self.place.page.read_text()
        assert "| other ≤ 2 | 3 | **missed** |" in text
        assert "value 1" in text

    def test_program_can_write_the_page_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "SECTIONS", (section("one", None),))
        monkeypatch.setattr(cli, "Place", lambda *_: self.place)
        assert cli.main(["--page"]) == 0
        assert "| one ≤ 2 | - | not measured |" in self.place.page.read_text()


class TestRecords:
    def test_record_of_an_older_form_counts_as_none(self, tmp_path: Path) -> None:
        (tmp_path / "one.json").write_text('{"setting": {}, "result": {}}')
        assert records.load(section("one", 1), tmp_path) is None

    @pytest.mark.parametrize("one", cli.SECTIONS, ids=lambda one: one.name)
    def test_kept_records_can_be_read_and_told(self, one: Section[Any]) -> None:
        kept = records.load(one)
        assert kept is None or one.describe(kept[1])

    def test_machine_is_described_without_its_name(self) -> None:
        assert os.uname().nodename not in str(records.machine())
        assert records.machine().cores >= 1

    def test_goals_are_named_before_anything_is_measured(self, tmp_path: Path) -> None:
        judged = report.verdicts(cli.SECTIONS, tmp_path)
        assert len(judged) > 10
        assert {verdict.word for verdict in judged} == {"not measured"}
