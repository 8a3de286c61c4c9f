"""`Retry-After` in every form that a replica may send."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lmaas_gateway.replicas.pauses import retry_after_s

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({b"retry-after": b"3"}, 3),
        ({b"retry-after": b"0"}, 0),
        ({b"retry-after": b"2.5"}, 2.5),
        ({b"retry-after": b"1e9"}, 86_400),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"1_0"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"\xff"}, None),
        ({b"retry-after-ms": b"1500"}, 1.5),
        ({b"retry-after-ms": b"1e15"}, 86_400),
        ({b"retry-after-ms": b"250", b"retry-after": b"9"}, 0.25),
        ({b"retry-after-ms": b"x", b"retry-after": b"9"}, 9),
        ({b"retry-after": b"Wed, 25 Nov 2026 12:00:07 GMT"}, 7),
        ({b"retry-after": b"Wed, 25 Nov 2026 12:00:07"}, 7),
        ({b"retry-after": b"Wed, 25 Nov 2026 11:00:00 GMT"}, 0),
        ({b"retry-after": b"Wed, 25 Nov 2099 11:00:00 GMT"}, 86_400),
        ({b"retry-after": b"Wed, 99 Nov 2026 11:00:00 GMT"}, None),
        # The replica's clock is an hour ahead: only the difference counts.
        (
            {b"retry-after": b"Wed, 25 Nov 2026 13:00:07 GMT", b"date": b"Wed, 25 Nov 2026 13:00:00 GMT"},
            7,
        ),
        ({b"retry-after": b"Wed, 25 Nov 2026 12:00:07 GMT", b"date": b"x"}, 7),
    ],
)
def test_is_read_or_is_as_if_not_said(headers: dict[bytes, bytes], expected: float | None) -> None:
    assert retry_after_s(headers, NOW) == expected
