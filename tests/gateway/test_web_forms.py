"""What pages take and how they write figures, without a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from lmaas_gateway.api.reading import MAX_BODY_BYTES
from lmaas_gateway.errors import BadRequestError, BodyTooLargeError
from lmaas_gateway.web.forms import read_form
from lmaas_gateway.web.rendering import (
    show_day,
    show_moment,
    show_number,
    show_percent,
    show_rate,
    show_seconds,
    show_short,
    show_usd,
)

if TYPE_CHECKING:
    from starlette.types import Message

FORM = "application/x-www-form-urlencoded"


def sent(*pieces: bytes, kind: str = FORM) -> Request:
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


async def test_fields_of_one_name_are_lines_of_one_value() -> None:
    assert await read_form(sent(b"name=a+b&mo", b"del=x&model=y&", b"none=")) == {
        "name": "a b",
        "model": "x\ny",
        "none": "",
    }
    assert await read_form(sent(b"")) == {}


@pytest.mark.parametrize("body", [b"\xff=1", b"no pair", b"a=1&" * 300 + b"a=1"])
async def test_what_cannot_be_read_as_a_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="cannot be read"):
        await read_form(sent(body))


async def test_form_of_another_kind_or_length_is_refused() -> None:
    with pytest.raises(BadRequestError, match=FORM):
        await read_form(sent(b"{}", kind="application/json"))
    with pytest.raises(BodyTooLargeError, match="longer than"):
        await read_form(sent(b"a=", b"b" * MAX_BODY_BYTES))


def test_figures_are_written_as_people_read_them() -> None:
    unknown = "\N{EN DASH}"
    assert [show(None) for show in (show_number, show_usd, show_seconds)] == [unknown] * 3
    assert [show(None) for show in (show_moment, show_day, show_percent)] == [unknown] * 3
    assert [show_rate(value) for value in (0, 0.354, 12.44, 1234)] == ["0", "0.35", "12.4", "1,234"]
    assert [show_usd(nanos) for nanos in (0, 12_300_000_000, 4_200_000, 1)] == [
        "$0.00",
        "$12.30",
        "$0.00420",
        "$0.000000001",
    ]
    assert [show_seconds(value_s) for value_s in (84e-5, 0.023, 1.25, 180)] == [
        "840 µs",
        "23 ms",
        "1.25 s",
        "3 min",
    ]
    assert [show_short(value) for value in (950, 12_300, 4_560_000, 0.25)] == [
        "950",
        "12.3k",
        "4.56M",
        "0.25",
    ]
    assert [show_percent(part) for part in (0, 0.004, 0.25, 1)] == ["0 %", "0.4 %", "25 %", "100 %"]
    assert (show_moment(0), show_day(86_400)) == ("1970-01-01 00:00:00", "1970-01-02")
