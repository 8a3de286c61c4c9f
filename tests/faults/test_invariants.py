"""The invariants find what they are for: histories that must not be, made by hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from faults.clients import Told
from faults.invariants import check_books, check_single_commit
from lmaas_gateway.testing import Attempt, AttemptName

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGAN_S, FIRST_BYTE_S = 1.0, 2.0
FIRST, SECOND = AttemptName("a"), AttemptName("a", 2)
LATE = Attempt(FIRST, 3.0, outcome="aborted")
ANSWERED = Attempt(SECOND, 1.5, tokens=3, outcome="finished")
TEXT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
ERROR = b'data: {"error":{"code":"replica_timeout"}}\n\n'


def told(body: bytes = TEXT) -> Told:
    return Told("a", BEGAN_S, is_stream=True, status=200, body=body, first_byte_s=FIRST_BYTE_S)


@pytest.mark.parametrize(
    ("attempts", "made", "problem"),
    [
        ([LATE, ANSWERED], 2, ""),
        ([Attempt(FIRST, 3.0, tokens=7, outcome="finished"), ANSWERED], 2, ""),
        ([Attempt(AttemptName("a", 2, is_resent=True), 1.6, tokens=3, outcome="finished"), LATE], 2, ""),
        ([ANSWERED, Attempt(AttemptName("a", 3), 3.0, outcome="aborted")], 3, "after the first byte"),
        ([ANSWERED, Attempt(SECOND, 3.0, outcome="aborted")], 2, "sent twice"),
        ([LATE], 1, "after the first byte"),
        ([ANSWERED], 3, "the log tells of 3 attempts"),
    ],
    ids=["late", "late and whole", "resent", "a third one", "the same again", "none before", "one too few"],
)
def test_only_what_was_sent_before_the_last_attempt_may_be_read_late(
    attempts: Sequence[Attempt], made: int, problem: str
) -> None:
    log = [{"request_id": "a", "attempts": made}]
    with pytest.raises(AssertionError, match=problem) if problem else contextlib.nullcontext():
        check_single_commit([told()], log, attempts)


def test_stream_that_nobody_answered_was_committed_to_no_attempt() -> None:
    check_single_commit([told(ERROR)], [{"request_id": "a", "attempts": 1}], [LATE])


def test_books_are_held_against_the_attempt_that_answered() -> None:
    stray = Attempt(FIRST, 3.0, tokens=9, outcome="finished")
    one = told(TEXT * 3 + b"data: [DONE]\n\n")
    one.is_whole = True
    check_books([one], [{"request_id": "a", "completion_tokens": 3}], [stray, ANSWERED])
    with pytest.raises(AssertionError, match="billed 9 of 3"):
        check_books([one], [{"request_id": "a", "completion_tokens": 9}], [stray, ANSWERED])
