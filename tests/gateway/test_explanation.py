"""What is said of a call, by what its record tells."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lmaas_gateway.administration.explanation import explain
from lmaas_gateway.notes import Failure
from lmaas_gateway.records.record import CallRecord

PLAIN = CallRecord(
    at_us=0,
    request_id="req_1",
    organization="",
    project="",
    key="key_1",
    member="",
    model="mock",
    replica="mock-0",
    route="/v1/chat/completions",
    is_stream=False,
    outcome="ok",
    status=200,
)


def said(**fields: Any) -> dict[str, str]:
    steps = explain(replace(PLAIN, **fields), "record").steps
    return {step.name: step.text for step in steps}


def test_wait_whose_place_is_not_known_is_told_by_its_length() -> None:
    assert said(queued_us=1_500_000)["queue"] == "It waited 1.50 s for its turn."


def test_replica_whose_load_is_not_known_is_named_alone() -> None:
    chosen = {"policy": "least_busy", "candidates": ("mock-0", "mock-1"), "loads": (3.0,)}
    assert "(mock-0 load 3, mock-1)." in said(**chosen)["route"]
    assert "mock-0 load 3, worth 40" in said(**chosen, worth=(40.0,))["route"]


@pytest.mark.parametrize(
    ("reason", "status", "told"),
    [
        ("connect", 0, "no connection could be made"),
        ("status", 503, "it answered 503"),
        ("strange", 0, "strange"),
    ],
)
def test_failed_attempt_is_told_by_its_answer_or_by_why_there_was_none(
    reason: str, status: int, told: str
) -> None:
    text = said(failures=[Failure("mock", "mock-1", reason, status, 2000)])["failure"]
    assert text == f"The replica mock-1 of mock failed: {told}."


def test_end_and_bill_say_who_left_and_what_it_cost() -> None:
    assert said(outcome="client_gone", status=499)["end"] == "The client left before its reply was whole."
    assert said()["end"] == "It ended ok with status 200."
    assert said()["bill"] == "Its model has no price."
    assert said(price='{"input_nanos":1}', cost_nanos=1_234)["bill"] == "It cost $0.000001234."
    assert said(price='{"input_nanos":1}', cost_nanos=53_000_000)["bill"] == "It cost $0.053."
    assert said(price='{"input_nanos":1}', cost_nanos=2_500_000_000)["bill"] == "It cost $2.50."
