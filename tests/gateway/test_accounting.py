"""The books: one line and the counts of each call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.accounting import Accounting
from lmaas_gateway.call import Principal, Usage
from lmaas_gateway.logs.lines import CALL_FIELDS, FIELDS
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.metrics.exposition import render

if TYPE_CHECKING:
    from lmaas_gateway.meter import Outcome


class Clock:
    """Time that moves when told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def books() -> tuple[Accounting, Clock, list[bytes], Metrics]:
    clock, lines, metrics = Clock(), list[bytes](), Metrics()
    accounting = Accounting(metrics, log=lines.append, clock=clock, wall_clock=lambda: 1_800_000_000.25)
    return accounting, clock, lines, metrics


def test_line_of_a_call_has_every_field() -> None:
    accounting, clock, lines, metrics = books()
    meter = accounting.open("req_1", "/v1/chat/completions")
    meter.principal, meter.model, meter.replica = "api-key", "mock", "mock-0"
    meter.is_stream, meter.status, meter.usage = True, 200, Usage(7, 3, 2)
    clock.now_s += 0.25
    meter.see_first_byte()
    clock.now_s += 0.75
    accounting.close(meter)
    line: dict[str, Any] = json.loads(lines[0])
    assert line == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "logger": "lmaas.access",
        "event": "call",
        "request_id": "req_1",
        "organization": "",
        "project": "",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "outcome": "ok",
        "code": "",
        "cache": "",
        "attempts": 0,
        "queue_ms": 0.0,
        "duration_ms": 1000.0,
        "principal": "api-key",
        "model": "mock",
        "replica": "mock-0",
        "stream": True,
        "first_byte_ms": 250.0,
        "prompt_tokens": 7,
        "cached_tokens": 2,
        "completion_tokens": 3,
        "usage_estimated": False,
    }
    assert set(line) == CALL_FIELDS | {"time", "level", "logger", "event", "request_id"} <= FIELDS
    text = render(metrics).decode()
    place = 'model="mock",replica="mock-0"'
    assert f'lmaas_request_duration_seconds_sum{{{place},route="/v1/chat/completions"}} 1.0' in text
    assert f"lmaas_time_to_first_token_seconds_sum{{{place}}} 0.25" in text


@pytest.mark.parametrize(
    ("status", "outcome", "level"),
    [
        (200, "ok", "info"),
        (200, "limited", "info"),
        (499, "client_gone", "info"),
        (429, "error", "warning"),
        (503, "error", "error"),
        (200, "interrupted", "error"),
    ],
)
def test_line_says_how_much_of_a_failure_the_call_was(status: int, outcome: Outcome, level: str) -> None:
    accounting, _, lines, _ = books()
    meter = accounting.open("req_1", "/v1/embeddings")
    meter.status, meter.outcome = status, outcome
    accounting.close(meter)
    assert json.loads(lines[0])["level"] == level


def test_line_names_the_tenant_of_the_moment() -> None:
    accounting, _, lines, _ = books()
    for project in ("proj_1", "proj_2"):
        meter = accounting.open("req_1", "/v1/embeddings")
        meter.caller = Principal("mem_1", organization="org_1", project=project)
        meter.principal = "mem_1"
        accounting.close(meter)
    told = [(line["organization"], line["project"]) for line in map(json.loads, lines)]
    assert told == [("org_1", "proj_1"), ("org_1", "proj_2")]


def test_call_without_a_reply_has_no_first_byte() -> None:
    accounting, _, lines, metrics = books()
    meter = accounting.open("req_1", "/v1/embeddings")
    meter.status, meter.outcome, meter.code = 404, "error", "model_not_found"
    accounting.close(meter)
    line = json.loads(lines[0])
    assert (line["first_byte_ms"], line["prompt_tokens"], line["replica"]) == (0, 0, "")
    assert (line["outcome"], line["code"]) == ("error", "model_not_found")
    place = 'model="",replica=""'
    text = render(metrics).decode()
    assert f"lmaas_time_to_first_token_seconds_count{{{place}}} 0.0" in text
    assert f'lmaas_request_duration_seconds_count{{{place},route="/v1/embeddings"}} 1.0' in text


def test_without_a_log_calls_are_still_counted() -> None:
    metrics = Metrics()
    accounting = Accounting(metrics, log=None)
    meter = accounting.open("req_1", "/v1/embeddings")
    meter.status = 200
    accounting.close(meter)
    assert (
        'lmaas_requests_total{code="200",model="",replica="",route="/v1/embeddings"} 1.0'
        in render(metrics).decode()
    )


def test_names_are_escaped_and_their_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas_gateway.accounting._MAX_KINDS", 2)
    accounting, _, lines, _ = books()
    names = ['a "quoted" one', "back\\slash", "模型"]
    for name in names:
        meter = accounting.open("req_1", "/v1/embeddings")
        meter.model = name
        accounting.close(meter)
    assert [json.loads(line)["model"] for line in lines] == names
