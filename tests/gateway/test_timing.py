"""The `Server-Timing` header, as a head that goes out now has it."""

from __future__ import annotations

from typing import Any

import pytest

from lmaas_gateway.api.timing import NAME, add_timing, timing_of
from lmaas_gateway.meter import Meter


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def metered(**fields: Any) -> Meter:
    """A call that went to a replica after 0.5 s and whose reply began 0.25 s later."""
    clock = Clock()
    meter = Meter("req_1", "/v1/chat/completions", clock, tells_timing=fields.pop("tells_timing", True))
    clock.now_s += 0.5
    if fields.pop("is_sent", True):
        meter.see_sent(0)
        meter.attempts = 1
    clock.now_s += 0.25
    if fields.pop("has_begun", True):
        meter.see_first_byte()
    for name, value in fields.items():
        setattr(meter, name, value)
    return meter


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, b"route;dur=500.00, upstream;dur=250.0"),
        ({"queued_s": 0.4}, b"queue;dur=400.0, route;dur=100.00, upstream;dur=250.0"),
        ({"attempts": 3}, b"route;dur=500.00, upstream;dur=250.0, retries;desc=2"),
        # An error, or a head that breaks a silence: it goes out now, before any byte of a reply.
        ({"has_begun": False}, b"route;dur=500.00, upstream;dur=250.0"),
        ({"is_sent": False, "has_begun": False}, b"total;dur=750.00"),
        ({"is_sent": False, "cache": "hit"}, b"cache;desc=hit, total;dur=750.00"),
    ],
)
def test_header_says_where_the_time_went(fields: dict[str, Any], says: bytes) -> None:
    assert timing_of(metered(**fields)) == says


def test_header_is_left_out_where_the_operator_wants_none() -> None:
    assert add_timing([], metered()) == [(NAME, b"route;dur=500.00, upstream;dur=250.0")]
    assert add_timing([], metered(tells_timing=False)) == []
