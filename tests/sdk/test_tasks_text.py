from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.tasks._text import Unit, cut, folded, language_of, length, sentences, words

TEXTS = st.text(alphabet="ab. !?\n。！你好,“”'1", max_size=60)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat sleeps.", "en"),
        ("今天天气很好。", "zh"),
        ("我用 Python 写程序。", "zh"),
        ("The word 你好 means hello to people in China.", "en"),
        ("", "en"),
        ("Übermorgen", "en"),
    ],
)
def test_language_is_that_of_most_words(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith paid $3.14. He left.", ["Dr. Smith paid $3.14.", "He left."]),
        ("J. S. Bach wrote it, e.g. this. Yes.", ["J. S. Bach wrote it, e.g. this.", "Yes."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("今天天气很好。我们去公园！好吗？", ["今天天气很好。", "我们去公园！", "好吗？"]),
        ("他说：“走吧。”然后走了。", ["他说：“走吧。”", "然后走了。"]),
        ("Title\n\nFirst line\nsecond", ["Title", "First line", "second"]),
        ("no end", ["no end"]),
        ("It is in the U.S.", ["It is in the U.S."]),
        ("  \n ", []),
    ],
)
def test_sentences_end_where_readers_end_them(text: str, expected: list[str]) -> None:
    assert [span.text for span in sentences(text)] == expected


@given(TEXTS)
def test_sentences_are_pieces_of_the_text_that_leave_out_only_blanks(text: str) -> None:
    spans = sentences(text)
    assert all(text[span.start : span.end] == span.text for span in spans)
    assert "".join("".join(span.text.split()) for span in spans) == "".join(text.split())
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))


def test_a_han_character_is_a_word_and_so_is_a_hyphenated_one() -> None:
    assert [word.text for word in words("It's state-of-the-art, 你好 AI模型 3.5")] == [
        *("It's", "state-of-the-art", "你", "好", "AI", "模", "型", "3.5")
    ]


@pytest.mark.parametrize(("unit", "count"), [("sentences", 2), ("words", 4), ("characters", 9)])
def test_length_in_each_unit(unit: Unit, count: int) -> None:
    assert length("你好。ok go!", unit) == count


@pytest.mark.parametrize(
    ("text", "limit", "unit", "expected"),
    [
        ("One two. Three four. Five.", 2, "sentences", "One two. Three four."),
        ("One two. Three four. Five.", 4, "words", "One two. Three four."),
        ("One two three four.", 2, "words", "One two"),
        ("今天很好。明天更好。", 4, "words", "今天很好。"),
        ("今天很好。明天更好。", 3, "characters", "今天很"),
        ("Supercalifragilistic", 5, "characters", "Super"),
        ("...", 1, "words", "..."),
        ("!", 1, "sentences", "!"),
    ],
)
def test_cut_keeps_whole_sentences_if_one_fits(text: str, limit: int, unit: Unit, expected: str) -> None:
    assert cut(text, limit, unit) == expected


@given(TEXTS, st.integers(1, 12), st.sampled_from(get_args(Unit)))
def test_cut_is_never_longer_than_allowed_and_begins_the_text(text: str, limit: int, unit: Unit) -> None:
    kept = cut(text, limit, unit)
    assert text.startswith(kept)
    assert length(kept, unit) <= limit


@given(st.text(max_size=40))
def test_folded_text_knows_where_each_character_came_from(text: str) -> None:
    plain, origins = folded(text)
    assert len(plain) == len(origins)
    assert origins == sorted(origins)
    assert all(0 <= origin < len(text) for origin in origins)
