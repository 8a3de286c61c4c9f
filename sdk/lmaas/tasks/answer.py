"""`answer`: a question answered from a text, with the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lmaas.tasks._answers import json_object, string
from lmaas.tasks._chunks import fitted
from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan, chats
from lmaas.tasks._result import Result, Span
from lmaas.tasks._spans import Locator
from lmaas.tasks._text import sentences
from lmaas.types import ChatCompletion

ANSWER_TOKENS: Final = 384
_LONGEST = 300


class Outcome(StrEnum):
    """What came of a question."""

    ANSWERED = "answered"
    """There is an answer, and its quote stands in the text."""
    NOT_IN_TEXT = "not_in_text"
    """The model says that the text does not answer the question."""
    UNSUPPORTED = "unsupported"
    """The model gave an answer with a quote that does not stand in the text: do not trust it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Result):
    """The answer to a question.

    Attributes:
        outcome: Whether there is one, and whether the text supports it.
        answer: What the model answered; None if it says that the text has no answer.
        quote: The sentence that the model bases it on; None unless the outcome is ANSWERED.
    """

    outcome: Outcome
    answer: str | None = None
    quote: Span | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer that quotes the text."""
        return self.outcome is Outcome.ANSWERED


def plan(job: Job, text: str, question: str) -> Plan[Answer]:
    """Plan the answer to a question, one call a piece of the text; see `Tasks.answer`."""
    if not question.strip():
        raise TaskInputError("question: there is none.")
    values = {"question": question}
    pieces = yield from fitted(job, text, values, ANSWER_TOKENS)
    calls = [
        job.schema_chat({**values, "text": piece.text}, ANSWER_TOKENS, _schema(piece.text))
        for piece in pieces
    ]
    answers = [_read(piece, reply) for piece, reply in zip(pieces, (yield from chats(calls)), strict=True)]
    return _best(answers)


def _best(answers: Sequence[Answer]) -> Answer:
    """Return the first answer that quotes the text, else the first at all."""
    for outcome in (Outcome.ANSWERED, Outcome.UNSUPPORTED):
        for answer in answers:
            if answer.outcome is outcome:
                return answer
    return Answer(outcome=Outcome.NOT_IN_TEXT)


def _read(piece: Span, reply: ChatCompletion) -> Answer:
    said = json_object(reply)
    quote, answer = string(said, "quote"), string(said, "answer")
    if not quote or not answer:
        return Answer(outcome=Outcome.NOT_IN_TEXT)
    span = Locator(piece.text).find(quote)
    if span is None:
        return Answer(outcome=Outcome.UNSUPPORTED, answer=answer)
    place = Span(piece.start + span.start, piece.start + span.end, span.text, span.is_exact)
    return Answer(outcome=Outcome.ANSWERED, answer=answer, quote=place)


def _schema(text: str) -> dict[str, Any]:
    """Allow as quote the sentences of the text, or nothing: the engine then cannot make one up."""
    quotes = list(dict.fromkeys(span.text for span in sentences(text)))
    return {
        "type": "object",
        "properties": {
            "quote": {"enum": [*quotes, ""]},
            "answer": {"type": "string", "maxLength": _LONGEST},
        },
        "required": ["quote", "answer"],
        "additionalProperties": False,
    }
