from __future__ import annotations

import json
from datetime import date

import pytest

from lmaas import ConfigurationError
from lmaas.cli import main
from lmaas.evidence import Grade
from lmaas.measuring._gateway_metrics import bucket_quantile, live_evidence, samples_of
from sdk.hostile import answering, reply, serving

TODAY = date(2026, 11, 26)


def metrics(served: int, failed: int = 0, limited: int = 0, *, model: str = "m") -> str:
    labels = f'model="{model}",replica="m-0",route="/v1/chat/completions"'
    lines = ["# HELP lmaas_requests_total Calls that ended.", "# TYPE lmaas_requests_total counter"]
    for code, count in (("200", served), ("503", failed), ("429", limited)):
        lines.append(f'lmaas_requests_total{{{labels},code="{code}"}} {count}')
    latencies = (
        ("lmaas_time_to_first_token_seconds", f'model="{model}",replica="m-0"'),
        ("lmaas_request_duration_seconds", labels),
    )
    for name, labels in latencies:
        for end, share in (("0.1", 0.5), ("0.2", 0.9), ("0.5", 1.0), ("+Inf", 1.0)):
            lines.append(f'{name}_bucket{{{labels},le="{end}"}} {served * share}')
    lines.append(
        f'lmaas_requests_total{{model="{model}",replica="m-0",route="/v1/embeddings",code="200"}} 900'
    )
    return "\n".join(lines) + "\n"


def test_live_traffic_becomes_evidence_of_grade_b() -> None:
    now = samples_of(metrics(200, failed=10, limited=20))
    told = {one.metric: one for one in live_evidence(now, model="m", source="live", as_of=TODAY)}
    assert told["ttft_p50_s"].value == pytest.approx(0.1)
    assert (told["ttft_p95_s"].low, told["ttft_p95_s"].high) == (0.2, 0.5)
    assert told["e2e_p95_s"].value == pytest.approx(0.35)  # half way through a bucket of 0.3 s
    assert told["error_rate"].value == pytest.approx(10 / 230)
    assert told["rate_limited_rate"].value == pytest.approx(20 / 230)
    assert {one.grade for one in told.values()} == {Grade.B}
    assert told["error_rate"].n == 230


def test_window_counts_what_came_within_it_and_survives_a_restart() -> None:
    before, now = samples_of(metrics(200)), samples_of(metrics(300, failed=50))
    told = {one.metric: one for one in live_evidence(now, before, model="m", source="live", as_of=TODAY)}
    assert told["error_rate"].value == pytest.approx(50 / 150)
    restarted = live_evidence(samples_of(metrics(40)), before, model="m", source="live", as_of=TODAY)
    assert restarted[0].n == 40


def test_too_few_calls_tell_nothing() -> None:
    with pytest.raises(ConfigurationError, match="has seen 5 calls of 'm'; 20 are needed"):
        live_evidence(samples_of(metrics(5)), model="m", source="live", as_of=TODAY)
    with pytest.raises(ConfigurationError, match="has seen 0 calls of 'other'"):
        live_evidence(samples_of(metrics(50)), model="other", source="live", as_of=TODAY)


def test_quantile_in_the_last_bucket_is_not_known() -> None:
    assert bucket_quantile({0.1: 1.0, float("inf"): 10.0}, 0.5) is None
    estimate = bucket_quantile({0.1: 0.0, 0.2: 10.0, float("inf"): 10.0}, 0.5)
    assert estimate is not None
    assert estimate.value == pytest.approx(0.15)


def test_labels_are_read_as_they_were_written_and_gauges_without_a_value_left_out() -> None:
    found = samples_of('a{model="c:\\\\new \\"x\\""} 2\nb{model="m"} NaN\n')
    assert [(one.name, one.labels) for one in found] == [("a", {"model": 'c:\\new "x"'})]


def test_text_that_is_none_of_metrics_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="line 1"):
        samples_of("<html>")
    with pytest.raises(ConfigurationError, match="line 2 of the metrics has no number"):
        samples_of("a 1\nb x")
    sample = samples_of('a{x="say \\"hi\\"\\n",y="1"} 2 1700000000')[0]
    assert sample.labels == {"x": 'say "hi"\n', "y": "1"}


def test_command_reads_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(answering(reply(metrics(200).encode(), kind="text/plain"))) as server:
        assert main(["bench", "--live", f"{server.url}/metrics", "--model", "m"]) == 0
        assert "ttft_p95_s" in capsys.readouterr().out
        assert main(["bench", "--live", f"{server.url}/metrics", "--model", "m", "--json"]) == 0
    assert server.requests[0].line.startswith("GET /metrics ")
    plain = json.loads(capsys.readouterr().out)["evidence"]["lmaas/m"]
    assert {one["grade"] for one in plain} == {"B"}


def test_command_counts_within_a_window(capsys: pytest.CaptureFixture[str]) -> None:
    replies = (reply(metrics(count).encode(), kind="text/plain") for count in (200, 260))
    with serving(answering(*replies)) as server:
        assert main(["bench", "--live", f"{server.url}/metrics", "--model", "m", "--window", "0.01"]) == 0
    assert " 60" in capsys.readouterr().out


@pytest.mark.parametrize("window", ["0", "-5", "inf", "nan"])
def test_window_that_is_no_time_is_refused(window: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://127.0.0.1:9/metrics"
    assert main(["bench", "--live", url, "--model", "m", f"--window={window}"]) == 2
    assert "--window is" in capsys.readouterr().err


def test_command_says_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--live", "http://127.0.0.1:9/metrics"]) == 2
    assert "--model MODEL" in capsys.readouterr().err
    assert main(["bench", "--live", "metrics", "--model", "m"]) == 2
    assert "takes the URL of a gateway's metrics" in capsys.readouterr().err
