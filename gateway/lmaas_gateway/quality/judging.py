"""What can be said of one reply: the counts that it adds to those of its model and day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.quality.languages import asks_for_another, language_of
from lmaas_gateway.quality.reading import read_answer, read_question
from lmaas_gateway.quality.schemas import UnusableSchemaError, fits
from lmaas_gateway.quality.signs import is_empty, is_refusal, is_repeating

if TYPE_CHECKING:
    from lmaas_gateway.call import Dialect
    from lmaas_gateway.quality.reading import Answer, Question


class Counts(msgspec.Struct):
    """How many replies were looked at, and what was seen of them.

    Attributes:
        checked: Whole replies that were looked at.
        truncated: Those whose tokens ran out.
        refused: Those that decline what was asked.
        empty: Those with neither text nor a function's call.
        repeating: Those that go round in circles.
        with_schema: Those that had to be JSON, or call functions; `schema_failed` is a part of them.
        schema_failed: Those that are not what their schema asks for.
        with_language: Those whose language shows, as their prompt's does; `language_drift` is a part of them.
        language_drift: Those in another language than their prompt, which spoke of no language.
    """

    checked: int = 0
    truncated: int = 0
    refused: int = 0
    empty: int = 0
    repeating: int = 0
    with_schema: int = 0
    schema_failed: int = 0
    with_language: int = 0
    language_drift: int = 0

    def add(self, other: Counts) -> None:
        """Add others to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def judge(request: bytes, reply: bytes, dialect: Dialect, *, is_stream: bool) -> Counts | None:
    """Look at a reply; None if it did not come to its end, or is none that can be read."""
    try:
        answer = read_answer(reply, dialect, is_stream=is_stream)
        question = read_question(request)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not answer.end:
        return None
    is_blank = not answer.text.strip() if question.wants_json else is_empty(answer.text)
    is_silent = is_blank and not answer.arguments and not answer.is_declined
    counts = Counts(
        checked=1,
        truncated=int(answer.is_truncated),
        refused=int(answer.is_declined or is_refusal(answer.text)),
        empty=int(is_silent),
        repeating=int(is_repeating(answer.text)),
    )
    _hold_against_schema(question, answer, counts)
    _compare_languages(question, answer, counts)
    return counts


def _hold_against_schema(question: Question, answer: Answer, counts: Counts) -> None:
    if answer.is_declined or not (answer.arguments or question.wants_json):
        return
    try:
        if answer.arguments:
            is_well = all(
                fits(arguments or "{}", question.functions.get(name)) for name, arguments in answer.arguments
            )
        else:
            is_well = fits(answer.text, question.schema)
    except UnusableSchemaError:
        return
    counts.with_schema, counts.schema_failed = 1, int(not is_well)


def _compare_languages(question: Question, answer: Answer, counts: Counts) -> None:
    if question.wants_json or asks_for_another(question.text) or asks_for_another(question.instructions):
        return
    asked, answered = language_of(question.text), language_of(answer.text)
    if asked is not None and answered is not None:
        counts.with_language, counts.language_drift = 1, int(asked != answered)
