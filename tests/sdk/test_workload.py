from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from lmaas import ConfigurationError
from lmaas.measuring import SLO, FixedLength, LognormalLengths, ObservedLengths, UniformLengths, Workload


def written(folder: Path, name: str, *rows: object) -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def call(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def test_described_workload_has_its_lengths_rates_and_limits(tmp_path: Path) -> None:
    day = [0.5] * 12 + [1.5] * 12
    path = written(
        tmp_path,
        "chat.yaml",
        "name: support\nprompt_tokens: {p50: 600, p95: 2400}\noutput_tokens: 128\ncalls_per_s: 4",
        f"day: {day}\nshared_prefix_share: 0.4\nlanguages: {{zh: 0.7, en: 0.3}}",
        "slo: {ttft_s: 0.8, itl_s: 0.1, percentile: 0.9}",
    )
    workload = Workload.load(path)
    assert workload.prompt_tokens == LognormalLengths(600, 2400)
    assert workload.output_tokens == FixedLength(128)
    assert (workload.low_calls_per_s, workload.peak_calls_per_s) == (2, 6)
    assert workload.calls_per_month == 4 * 3600 * 730
    assert workload.slo == SLO(ttft_s=0.8, itl_s=0.1, percentile=0.9)
    assert workload.languages == {"zh": 0.7, "en": 0.3}


def test_lengths_have_the_quantiles_and_means_that_they_are_described_by() -> None:
    spread = LognormalLengths(600, 2400)
    assert (round(spread.quantile(0.5)), round(spread.quantile(0.95))) == (600, 2400)
    drawn = [spread.draw(random.Random(seed)) for seed in range(4000)]
    assert sum(drawn) / len(drawn) == pytest.approx(spread.mean, rel=0.1)
    assert (UniformLengths(10, 30).mean, UniformLengths(10, 30).quantile(0.25)) == (20, 15)
    seen = ObservedLengths((30, 10, 20, 40))
    assert (seen.mean, seen.quantile(0), seen.quantile(0.5), seen.quantile(1)) == (25, 10, 20, 40)
    assert FixedLength(7).draw(random.Random(1)) == 7


def test_log_tells_lengths_rate_bursts_prefix_and_languages(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 9}
    rows = [call("You are kind. One?", timestamp=1000 + 2 * n, usage=usage) for n in range(4)]
    workload = Workload.load(
        written(tmp_path, "log.jsonl", *rows, call("天气怎么样", timestamp=1008, usage=usage))
    )
    assert workload.calls_per_s == 0.5
    assert workload.burstiness == 0.01
    assert (workload.prompt_tokens.mean, workload.output_tokens.mean) == (50, 9)
    assert workload.shared_prefix_share > 0.6
    assert workload.languages == {"en": 0.8, "zh": 0.2}
    assert not workload.is_estimated
    assert [one.at_s for one in workload.calls] == [0, 2, 4, 6, 8]
    assert "timestamp" not in workload.calls[0].body
    assert "model" not in workload.calls[0].body


def test_log_of_a_batch_file_and_iso_times_is_read(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    lines = [
        {"custom_id": "1", "body": {"messages": messages, "max_tokens": 20}, "time": "2026-11-01T10:00:00Z"},
        {"body": call("b"), "response": {"body": {"usage": {"prompt_tokens": 7}}}, "time": 1793527260000},
    ]
    workload = Workload.load(written(tmp_path, "batch.jsonl", *lines))
    assert workload.input_modalities == ("text", "image")
    assert workload.calls_per_s == pytest.approx(1 / 60, rel=0.5)
    assert workload.is_estimated
    assert workload.output_tokens.mean == 20


def test_log_without_usage_is_estimated_and_says_so(tmp_path: Path) -> None:
    workload = Workload.load(written(tmp_path, "log.jsonl", {"prompt": "a" * 400}, call("天气" * 30)))
    assert workload.is_estimated
    assert workload.prompt_tokens == ObservedLengths((40, 100))
    assert workload.calls_per_s is None
    assert workload.calls_per_month is None


def test_uniform_lengths_are_each_drawn_equally_often() -> None:
    lengths, source = UniformLengths(1, 4), random.Random(1)
    drawn = [lengths.draw(source) for _ in range(8000)]
    assert {length: round(drawn.count(length) / 8000, 1) for length in range(1, 5)} == dict.fromkeys(
        range(1, 5), pytest.approx(0.25, abs=0.06)
    )
    assert (min(drawn), max(drawn)) == (1, 4)


def test_line_separators_within_a_text_end_no_line_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\ufeff" + json.dumps(call("a\u2028b\x85c"), ensure_ascii=False) + "\r\n", "utf-8")
    assert Workload.load(path).calls[0].body["messages"][0]["content"] == "a\u2028b\x85c"


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_times_of_a_log_may_be_in_any_unit_down_to_nanoseconds(tmp_path: Path, unit: int) -> None:
    rows = [call("x", timestamp=(1_793_527_260 + 4 * number) * unit) for number in range(5)]
    assert Workload.load(written(tmp_path, "log.jsonl", *rows)).calls_per_s == pytest.approx(0.25)


@pytest.mark.parametrize("told", ["many", [3], -4, True, 1.5, 10**30, None])
def test_a_usage_that_makes_no_sense_counts_as_none(tmp_path: Path, told: object) -> None:
    usage = {"prompt_tokens": told, "completion_tokens": told}
    workload = Workload.load(
        written(tmp_path, "log.jsonl", {"prompt": "a" * 40, "usage": usage, "max_tokens": told})
    )
    assert (workload.prompt_tokens, workload.output_tokens) == (ObservedLengths((10,)), FixedLength(128))
    assert workload.is_estimated


def test_lengths_are_told_by_the_usage_of_responses_and_not_by_limits(tmp_path: Path) -> None:
    told = call("a", usage={"input_tokens": 5, "output_tokens": 3})
    assert not Workload.load(written(tmp_path, "told.jsonl", told)).is_estimated
    limited = call("a", usage={"prompt_tokens": 5}, max_tokens=4096)
    assert Workload.load(written(tmp_path, "limited.jsonl", limited)).is_estimated


def test_a_log_of_a_day_and_a_half_counts_no_hour_twice(tmp_path: Path) -> None:
    rows = [call("x", timestamp=minute * 60) for minute in range(0, 36 * 60, 10)]
    assert Workload.load(written(tmp_path, "days.jsonl", *rows)).day == (1.0,) * 24


def test_log_of_two_days_has_its_curve(tmp_path: Path) -> None:
    rows = [call("x", timestamp=hour * 3600) for hour in range(48) for _ in range(3 if hour % 24 == 9 else 1)]
    workload = Workload.load(written(tmp_path, "days.jsonl", *rows))
    assert len(workload.day) == 24
    assert max(workload.day) == workload.day[9]
    assert workload.peak_calls_per_s == pytest.approx(3 * (workload.low_calls_per_s or 0))


def test_description_may_stand_over_a_file_of_prompts(tmp_path: Path) -> None:
    written(tmp_path, "prompts.jsonl", call("one"), call("two"))
    workload = Workload.load(
        written(tmp_path, "w.json", {"prompts": "prompts.jsonl", "output_tokens": 16, "calls_per_s": 2})
    )
    assert (workload.calls_per_s, workload.output_tokens, len(workload.calls)) == (2, FixedLength(16), 2)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("w.yaml", "prompt_token: 5", "w.yaml: prompt_token: Extra inputs are not permitted"),
        ("w.yaml", "prompt_tokens: 5", "`output_tokens` are needed"),
        ("w.yaml", "prompt_tokens: 0\noutput_tokens: 5", "0 is no length"),
        ("w.yaml", "prompt_tokens: {low: 9, high: 2}\noutput_tokens: 5", "below the first"),
        ("w.yaml", "prompt_tokens: {p50: 9, p95: 2}\noutput_tokens: 5", "below p50"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\ncalls_per_s: -1", "`calls_per_s` is -1"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nday: [1]", "24 numbers"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nburstiness: 0", "Poisson"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nshared_prefix_share: 1", "below 1"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nlanguages: {en: 2}", "shares of the calls"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nslo: {ttft_s: 0}", "`ttft_s` is 0"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nslo: {percentile: 95}", "such as 0.95"),
        ("w.yaml", "prompt_tokens: {p50: 9, p95: .inf}\noutput_tokens: 5", "p95: inf is no length"),
        ("w.yaml", "prompt_tokens: {p50: 9, p95: .nan}\noutput_tokens: 5", "p95: nan is no length"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\ncalls_per_s: .inf", "`calls_per_s` is inf"),
        ("w.yaml", "prompt_tokens: 5\noutput_tokens: 5\nburstiness: .inf", "Poisson"),
        ("w.yaml", f"prompt_tokens: 5\noutput_tokens: 5\nday: [{'.nan, ' * 24}]", "24 numbers"),
        ("w.json", "[" * 100_000, "w.json cannot be understood: it is nested too deeply"),
        ("log.jsonl", "[" * 100_000, "line 1: it is no JSON"),
        ("log.jsonl", '{"prompt": "a", "time": 1' + "0" * 400 + "}", "neither seconds of the epoch"),
        ("log.jsonl", '{"prompt": "a", "time": -1e300}', "neither seconds of the epoch"),
        ("w.yaml", "a: [", "cannot be understood: line 1"),
        ("w.txt", "a", "ends in .txt"),
        ("w.json", "[]", "holds a list"),
        ("log.jsonl", "", "holds no call"),
        ("log.jsonl", "{}", "line 1: it has no `messages`"),
        ("log.jsonl", '{"prompt": "a"}\n[', "line 2: it is no JSON"),
        ("log.jsonl", "[1]", "line 1: it is no JSON object"),
        ("log.jsonl", '{"prompt": "a", "time": "noon"}', "neither seconds of the epoch"),
    ],
)
def test_bad_workload_says_what_is_wrong_and_where(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Workload.load(written(tmp_path, name, content))
    assert told in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["none.yaml", "none.jsonl"])
def test_workload_that_is_not_there_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Workload.load(tmp_path / name)


def test_slo_counts_what_a_call_has_figures_for() -> None:
    slo = SLO(ttft_s=1, itl_s=0.1, e2e_s=5)
    assert slo.is_kept_by(0.9, 0.1, 4)
    assert slo.is_kept_by(0.9, None, 4)
    assert not slo.is_kept_by(1.1, 0.05, 4)
    assert not slo.is_kept_by(0.9, 0.05, 6)
