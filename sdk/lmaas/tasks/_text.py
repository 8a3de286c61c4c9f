"""Plain facts about a text in English or Chinese: language, sentences, words. Offsets count code points."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from lmaas.tasks._result import Span

Language: TypeAlias = Literal["en", "zh"]
Unit: TypeAlias = Literal["sentences", "words", "characters"]

_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ONE_HAN: Final = re.compile(f"[{_HAN}]")
_WORD: Final = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+(?:['’.\-][^\W{_HAN}]+)*")
_CLOSERS: Final = "\"'”’»)\\]」』）】》"
_END: Final = re.compile(
    rf"[。！？；…]+[{_CLOSERS}]*"
    rf"|[.!?]+[{_CLOSERS}]*(?=\s|$|[{_HAN}])"
    r"|\n+"
)
_ABBREVIATIONS: Final = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "sr",
        "jr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "no",
        "fig",
        "inc",
        "ltd",
        "co",
        "corp",
        "u.s",
        "u.k",
        "u.n",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "gen",
        "col",
        "capt",
        "lt",
        "sgt",
        "rev",
        "approx",
        "dept",
        "est",
        "a.m",
        "p.m",
        "cf",
        "al",
    ]
)


def language_of(text: str) -> Language:
    """Return "zh" if Han characters outnumber the words of other scripts, else "en"."""
    words = _WORD.findall(text)
    han = sum(1 for word in words if _ONE_HAN.match(word))
    return "zh" if han * 2 > len(words) else "en"


def words(text: str) -> list[Span]:
    """Return the words of a text; a Han character is a word of its own, as in a word count of Chinese."""
    return [Span(match.start(), match.end(), match[0]) for match in _WORD.finditer(text)]


def sentences(text: str) -> list[Span]:
    """Return the sentences of a text, without the blanks around them.

    A line break ends a sentence; a full stop after an abbreviation or a single letter does not.
    """
    return list(_sentences(text))


def _sentences(text: str) -> Iterator[Span]:
    start = 0
    for match in _END.finditer(text):
        if match[0][0] == "." and len(match[0]) == 1 and _is_abbreviation(text, match.start(), match.end()):
            continue
        if span := stripped(text, start, match.end()):
            yield span
        start = match.end()
    if span := stripped(text, start, len(text)):
        yield span


def _is_abbreviation(text: str, stop: int, end: int) -> bool:
    if not text[end:].strip():
        return False
    word = re.split(r"[\s(\"“]", text[max(0, stop - 12) : stop])[-1]
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper())


def stripped(text: str, start: int, end: int) -> Span | None:
    """Return the piece from `start` to `end` without blanks around it, None if nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end, text[start:end]) if end > start else None


def length(text: str, unit: Unit) -> int:
    """Count a text in `unit`s; characters are code points, blanks included."""
    if unit == "characters":
        return len(text)
    return len(words(text) if unit == "words" else sentences(text))


def cut(text: str, limit: int, unit: Unit) -> str:
    """Return the beginning of a text that has at most `limit` `unit`s: whole sentences, if one fits."""
    whole = [span for span in sentences(text) if length(text[: span.end], unit) <= limit]
    if whole:
        return text[: whole[-1].end]
    fitting = [word for word in words(text) if length(text[: word.end], unit) <= limit]
    return text[: fitting[-1].end] if fitting else text[:limit] if unit == "characters" else ""


def folded(text: str) -> tuple[str, list[int]]:
    """Return a text without case, width and runs of blanks, and where each of its characters came from."""
    out: list[str] = []
    origins: list[int] = []
    for index, character in enumerate(text):
        plain = _QUOTES.get(character) or unicodedata.normalize("NFKC", character).casefold()
        if plain.isspace():
            plain = " "
            if out and out[-1] == " ":
                continue
        out.extend(plain)
        origins.extend([index] * len(plain))
    return "".join(out), origins


_QUOTES: Final = {"“": '"', "”": '"', "‘": "'", "’": "'", "，": ",", "。": "."}
