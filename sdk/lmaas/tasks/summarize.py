"""`summarize`: a text, shorter: in one call if it fits the context, else piece by piece and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from lmaas.tasks._answers import is_cut, text_of
from lmaas.tasks._chunks import fitted
from lmaas.tasks._errors import TaskInputError, TaskOutputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan, chats
from lmaas.tasks._result import Result, Span
from lmaas.tasks._text import Unit, cut, length

ANSWER_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Limit:
    """The longest summary; `number` None is no limit.

    Raises:
        TaskInputError: the number is below 1.
    """

    number: int | None = None
    unit: Unit = "sentences"

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 1:
            message = f"max_{self.unit} is {self.number}; give 1 or more."
            raise TaskInputError(message)

    @classmethod
    def of(cls, sentences: int | None, words: int | None, characters: int | None) -> Limit:
        """Return the one limit that was given, or that of nothing.

        Raises:
            TaskInputError: several were given.
        """
        limits: list[Limit] = []
        if sentences is not None:
            limits.append(cls(sentences, "sentences"))
        if words is not None:
            limits.append(cls(words, "words"))
        if characters is not None:
            limits.append(cls(characters, "characters"))
        if len(limits) > 1:
            raise TaskInputError("give one of max_sentences, max_words and max_characters.")
        return limits[0] if limits else cls()


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the text, and its summary."""

    span: Span
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Result):
    """The summary of a text.

    Attributes:
        text: Never longer than was asked for.
        length: What it counts in the unit of the limit; in sentences without one.
        is_cut: Whether the model wrote more than `text`: beyond the limit, or up to `max_tokens`.
        parts: The pieces of the text with their summaries, if it did not fit the context.
        rounds: How often summaries were summarised; 0 if the text was read at once.
    """

    text: str
    length: int
    is_cut: bool = False
    parts: tuple[Part, ...] = ()
    rounds: int = 0


def plan(job: Job, text: str, limit: Limit, *, max_chunk_tokens: int | None = None) -> Plan[Summary]:
    """Plan the summary of a text; see `Tasks.summarize`."""
    if not text.strip():
        raise TaskInputError("text: there is none.")
    length_words = _length(job, limit)
    pieces = yield from fitted(job, text, {"length": length_words}, ANSWER_TOKENS, limit=max_chunk_tokens)
    parts: tuple[Part, ...] = ()
    rounds = 0
    while len(pieces) > 1:
        summaries = yield from _each(job, pieces, job.prompt.words["free"])
        parts = parts or tuple(map(Part, pieces, summaries))
        text = _joined(summaries, at_most=sum(len(piece.text) for piece in pieces) // 2)
        rounds += 1
        values = {"length": length_words}
        pieces = yield from fitted(job, text, values, ANSWER_TOKENS, limit=max_chunk_tokens)
    if not pieces:
        raise TaskOutputError("The model summarised every piece of the text with nothing.")
    call = job.chat({"text": pieces[0].text, "length": length_words}, ANSWER_TOKENS)
    (reply,) = yield from chats([call])
    said = text_of(reply)
    kept = said if limit.number is None else cut(said, limit.number, limit.unit)
    return Summary(
        text=kept,
        length=length(kept, limit.unit),
        is_cut=kept != said or is_cut(reply),
        parts=parts,
        rounds=rounds,
    )


def _each(job: Job, pieces: Sequence[Span], length_words: str) -> Plan[list[str]]:
    calls = [job.chat({"text": piece.text, "length": length_words}, ANSWER_TOKENS) for piece in pieces]
    return [text_of(reply) for reply in (yield from chats(calls))]


def _joined(summaries: Sequence[str], at_most: int) -> str:
    """Join summaries, each cut so that all are half as long as their texts: each round must come nearer."""
    each = max(1, at_most // len(summaries))
    return "\n".join(cut(summary, each, "characters") for summary in summaries)


def _length(job: Job, limit: Limit) -> str:
    if limit.number is None:
        return job.prompt.words["free"]
    return Template(job.prompt.words[limit.unit]).substitute(limit=limit.number)
