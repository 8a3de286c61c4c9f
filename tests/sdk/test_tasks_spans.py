from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.tasks._spans import Locator


def test_repeats_are_given_their_places_in_order_and_no_more() -> None:
    locator = Locator("Paris, then Rome, then Paris.")
    places = [locator.find("Paris") for _ in range(3)]
    assert [(span.start, span.end) for span in places if span] == [(0, 5), (23, 28)]
    assert places[2] is None


def test_one_place_may_be_taken_once_a_role() -> None:
    locator = Locator("Paris")
    assert locator.find("Paris", "agent") == locator.find("Paris", "patient")
    assert locator.find("Paris", "agent") is None


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("He left  New\nYork.", "new york", "New\nYork"),
        ("ＡＢＣ公司在上海", "ABC公司", "ＡＢＣ公司"),
        ("He said “no”.", '"no"', "“no”"),
        ("straße", "STRASSE", "straße"),
        ("ﬁne", "fine", "ﬁne"),
    ],
)
def test_case_width_quotes_and_blanks_may_differ_and_the_text_wins(text: str, quote: str, found: str) -> None:
    span = Locator(text).find(quote)
    assert span is not None
    assert (span.text, span.is_exact) == (found, False)
    assert text[span.start : span.end] == found


@pytest.mark.parametrize(("text", "quote"), [("party", "art"), ("party", "par"), ("x", ""), ("x", "  ")])
def test_parts_of_words_and_nothing_are_not_found(text: str, quote: str) -> None:
    assert Locator(text).find(quote) is None


def test_han_characters_need_no_blanks_around_them() -> None:
    span = Locator("李明从北京飞到上海").find("北京")
    assert span is not None
    assert (span.start, span.end) == (3, 5)


def test_offsets_count_code_points() -> None:
    span = Locator("😀😀 Ada").find("Ada")
    assert span is not None
    assert (span.start, span.end) == (3, 6)


@given(st.text(max_size=50), st.text(max_size=5))
def test_whatever_is_found_stands_in_the_text(text: str, quote: str) -> None:
    for span in Locator(text).all(quote):
        assert text[span.start : span.end] == span.text
        assert span.end > span.start
