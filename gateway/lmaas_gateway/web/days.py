"""Spans of days that people ask for, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from lmaas_gateway.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

SPANS_DAYS = (1, 7, 30, 90)
"""Spans that are offered, in days until today."""
_DEFAULT_DAYS = 30
_MAX_DAYS = 3660


class Days(NamedTuple):
    """A span of days; the last one is in it."""

    first: date
    last: date

    @property
    def start(self) -> int:
        """When the first begins, in Unix seconds."""
        return _midnight(self.first)

    @property
    def end(self) -> int:
        """When the last has ended."""
        return _midnight(self.last + timedelta(days=1))

    def each(self) -> list[str]:
        """List them, as the books name them."""
        count = (self.last - self.first).days + 1
        return [(self.first + timedelta(days=number)).isoformat() for number in range(count)]


def this_day() -> date:
    """Give the day that it is."""
    return datetime.now(UTC).date()


def read_days(query: Mapping[str, str], today: date) -> Days:
    """Read `from` and `to`; default: the thirty days until today.

    Raises:
        BadRequestError: they are no days, or not in their order.
    """
    try:
        last = date.fromisoformat(query["to"]) if query.get("to") else today
        default = last - timedelta(days=_DEFAULT_DAYS - 1)
        first = date.fromisoformat(query["from"]) if query.get("from") else default
    except (ValueError, OverflowError):
        raise BadRequestError("Write days as 2026-01-31.") from None
    if not date(1971, 1, 1) <= first <= last <= date(9000, 1, 1) or (last - first).days > _MAX_DAYS:
        raise BadRequestError("The days must be in their order, and no more than ten years.")
    return Days(first, last)


def starts_until(today: date) -> dict[int, date]:
    """Give the first day of each span that is offered."""
    return {span: today - timedelta(days=span - 1) for span in SPANS_DAYS}


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
