"""What callers are told whose calls are not let through."""

from __future__ import annotations

import pytest

from lmaas_gateway.admission.line import Reason, Refusal, Rules
from lmaas_gateway.admission.verdicts import explain

RULES = Rules(max_queued=64, timeout_s=7.5, reserve=0.1, is_shared=True)


@pytest.mark.parametrize(
    ("reason", "status", "code", "says"),
    [
        ("queue_full", 503, "queue_full", "64 calls wait (queue.max_queued)"),
        ("share_full", 429, "queue_share_full", "your share of the queue of 'mock'"),
        ("wait_too_long", 503, "queue_wait_too_long", "queue.timeout_s is 7.5 s"),
        ("shed", 503, "call_shed", "higher priority"),
        ("timeout", 503, "queue_timeout", "waited for 7.5 s (queue.timeout_s)"),
        ("deadline", 504, "deadline_exceeded", "The call's deadline passed"),
    ],
)
def test_each_reason_has_its_status_code_and_words(reason: Reason, status: int, code: str, says: str) -> None:
    error = explain(Refusal(reason, 12, 3.2), "mock", RULES)
    assert (error.status, error.code) == (status, code)
    assert says in error.message


@pytest.mark.parametrize("reason", ["share_full", "wait_too_long"])
def test_place_and_wait_that_the_call_would_have_had_are_told(reason: Reason) -> None:
    assert (
        "number 12 of those that wait, for about 3.2 s"
        in explain(Refusal(reason, 12, 3.21), "mock", RULES).message
    )
    assert "number 12 of those that wait;" in explain(Refusal("share_full", 12, None), "mock", RULES).message


@pytest.mark.parametrize(("wait_s", "retry_after_s"), [(None, 1), (0.0, 1), (3.2, 4), (1e9, 60)])
def test_caller_is_told_to_come_back_when_the_queue_of_now_is_done(
    wait_s: float | None, retry_after_s: int
) -> None:
    assert explain(Refusal("queue_full", 1, wait_s), "mock", RULES).retry_after_s == retry_after_s
