"""`translate`: a text in another language, with the words of a glossary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Final

from lmaas.tasks._answers import is_cut, text_of
from lmaas.tasks._chunks import fitted
from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Call, Plan, chats
from lmaas.tasks._result import Result, Span
from lmaas.tasks._spans import Locator

ANSWER_TOKENS: Final = 768
CHUNK_TOKENS: Final = 256
"""Tokens of one piece: models lose sentences of longer ones, and pieces are translated side by side."""

_GAP = 120


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text, and its translation.

    Attributes:
        missing: Words of the glossary that the piece calls for and the translation does not have.
        is_cut: Whether the translation ended at `max_tokens`.
    """

    span: Span
    translation: str
    missing: tuple[str, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation(Result):
    """The translation of a text.

    Attributes:
        text: The translations of the pieces, in order, with the blanks that stood between these.
        pieces: What was translated in one call each.
    """

    text: str
    pieces: tuple[Piece, ...] = field(default=(), repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Words of the glossary that ought to be in the translation and are not."""
        return tuple(dict.fromkeys(word for piece in self.pieces for word in piece.missing))

    @property
    def is_cut(self) -> bool:
        """Whether a piece ended at `max_tokens`, so that something is missing."""
        return any(piece.is_cut for piece in self.pieces)


def plan(
    job: Job,
    text: str,
    target: str,
    glossary: Mapping[str, str] | None = None,
    *,
    max_chunk_tokens: int = CHUNK_TOKENS,
) -> Plan[Translation]:
    """Plan the translation of a text; see `Tasks.translate`."""
    if not target.strip():
        raise TaskInputError("target: name a language.")
    glossary = glossary or {}
    if not all(source.strip() and word.strip() for source, word in glossary.items()):
        raise TaskInputError("glossary: a word is empty.")
    values = {"target": job.prompt.words.get(target, target), "glossary": _terms(job, glossary)}
    spans = yield from fitted(job, text, values, ANSWER_TOKENS, limit=max_chunk_tokens)
    wanted = [_wanted(span.text, glossary) for span in spans]
    calls = [_call(job, values, span, words) for span, words in zip(spans, wanted, strict=True)]
    replies = yield from chats(calls)
    pieces = [
        _piece(span, text_of(reply), words, is_cut=is_cut(reply))
        for span, reply, words in zip(spans, replies, wanted, strict=True)
    ]
    pieces = yield from _enforced(job, values, pieces, wanted)
    return Translation(text=_joined(text, pieces), pieces=tuple(pieces))


def _enforced(
    job: Job, values: Mapping[str, str], pieces: list[Piece], wanted: Sequence[Mapping[str, str]]
) -> Plan[list[Piece]]:
    """Translate pieces again that lack words of the glossary, in a form that has them.

    The engine is held to a pattern with the words in the order of the text; a try that came out worse, or
    did not come to its end, is thrown away, and what is missing is told.
    """
    lacking = [index for index, piece in enumerate(pieces) if piece.missing]
    calls = [
        _call(job, values, pieces[index].span, wanted[index], structured_outputs={"regex": pattern})
        for index in lacking
        for pattern in [_pattern(pieces[index].span.text, wanted[index])]
    ]
    for index, reply in zip(lacking, (yield from chats(calls)), strict=True):
        said = text_of(reply)
        again = _piece(pieces[index].span, said, wanted[index], is_cut=is_cut(reply))
        if not again.is_cut and len(again.missing) < len(pieces[index].missing):
            pieces[index] = again
    return pieces


def _pattern(text: str, wanted: Mapping[str, str]) -> str:
    ordered = sorted(wanted, key=lambda source: Locator(text).all(source)[0].start)
    words = [re.escape(wanted[source]).replace("\\ ", " ") for source in ordered]
    free = rf"[^\n]{{0,{max(_GAP, len(text))}}}"
    edge = r"[^A-Za-z0-9\n]"
    before, after = f"({free}{edge})?", f"({edge}{free})?"
    return before + f"{edge}{before}".join(words) + after


def _call(
    job: Job, values: Mapping[str, str], span: Span, wanted: Mapping[str, str], **params: object
) -> Call:
    filled = {**values, "text": span.text, "glossary": _terms(job, wanted)}
    # A token has at least a byte, and no language takes much more of them than another: a model that has
    # lost its way is stopped long before the longest answer.
    return job.chat(filled, min(ANSWER_TOKENS, 64 + 2 * len(span.text.encode())), **params)


def _wanted(text: str, glossary: Mapping[str, str]) -> dict[str, str]:
    locator = Locator(text)
    return {source: word for source, word in glossary.items() if locator.all(source)}


def _terms(job: Job, glossary: Mapping[str, str]) -> str:
    if not glossary:
        return ""
    words = job.prompt.words
    pairs = [
        Template(words["pair"]).substitute(source=source, target=word) for source, word in glossary.items()
    ]
    return Template(words["glossary"]).substitute(terms=words["separator"].join(pairs))


def _piece(span: Span, said: str, wanted: Mapping[str, str], *, is_cut: bool) -> Piece:
    locator = Locator(said)
    missing = tuple(word for word in wanted.values() if not locator.all(word))
    return Piece(span, said, missing, is_cut)


def _joined(text: str, pieces: Sequence[Piece]) -> str:
    out: list[str] = []
    end = 0
    for number, piece in enumerate(pieces):
        gap = text[end : piece.span.start] if number else ""
        out += [gap or (" " if number else ""), piece.translation]
        end = piece.span.end
    return "".join(out)
