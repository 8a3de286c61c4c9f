"""How long a replica asks to be left alone: `Retry-After` in its forms."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_S = 86_400.0


def retry_after_s(headers: Mapping[bytes, bytes], now: datetime) -> float | None:
    """Read `retry-after-ms`, or `Retry-After` as seconds or date; None if neither says anything.

    A date is measured from the replica's own `Date`, so that its clock need not agree with ours. More than a
    day is taken for a day.

    Args:
        headers: Of the reply, names in lower case.
        now: Serves where the reply has no `Date`.

    Source: RFC 9110 §10.2.3.
    """
    milliseconds = _number(headers.get(b"retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, _DAY_S)
    value = headers.get(b"retry-after")
    seconds = _number(value)
    if seconds is None:
        until = _date(value)
        if until is None:
            return None
        seconds = (until - (_date(headers.get(b"date")) or now)).total_seconds()
    return min(max(seconds, 0.0), _DAY_S)


def _number(value: bytes | None) -> float | None:
    try:
        number = float(value or b"")
    except ValueError:
        return None
    # Python reads "1_0" as ten; no server means that.
    return number if math.isfinite(number) and number >= 0 and b"_" not in (value or b"") else None


def _date(value: bytes | None) -> datetime | None:
    try:
        date = parsedate_to_datetime((value or b"").decode("ascii"))
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
