"""What can be said of one reply: the counts that it adds to those of its model and day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.flaws import FlawCounts
from lmaas_gateway.quality.languages import asks_for_another, language_of
from lmaas_gateway.quality.reading import read_answer, read_question
from lmaas_gateway.quality.schemas import UnusableSchemaError, fits
from lmaas_gateway.quality.signs import is_empty, is_refusal, is_repeating

if TYPE_CHECKING:
    from lmaas_gateway.call import Dialect
    from lmaas_gateway.quality.reading import Answer, Question


def judge(request: bytes, reply: bytes, dialect: Dialect, *, is_stream: bool) -> FlawCounts | None:
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
    with_schema, schema_failed = _hold_against_schema(question, answer)
    with_language, language_drift = _compare_languages(question, answer)
    return FlawCounts(
        checked=1,
        truncated=answer.is_truncated,
        refused=answer.is_declined or is_refusal(answer.text),
        empty=is_silent,
        repeating=is_repeating(answer.text),
        with_schema=with_schema,
        schema_failed=schema_failed,
        with_language=with_language,
        language_drift=language_drift,
    )


def _hold_against_schema(question: Question, answer: Answer) -> tuple[bool, bool]:
    """Tell whether a reply could be held against a schema, and then whether it failed."""
    if answer.is_declined or not (answer.arguments or question.wants_json):
        return False, False
    try:
        if answer.arguments:
            is_well = all(
                fits(arguments or "{}", question.functions.get(name)) for name, arguments in answer.arguments
            )
        else:
            is_well = fits(answer.text, question.schema)
    except UnusableSchemaError:
        return False, False
    return True, not is_well


def _compare_languages(question: Question, answer: Answer) -> tuple[bool, bool]:
    """Tell whether the languages of prompt and reply show, and then whether they differ."""
    if question.wants_json:
        return False, False
    asked = language_of(question.text)
    answered = None if asked is None else language_of(answer.text)
    # Asked for last: to look for it costs most.
    if answered is None or asks_for_another(question.text) or asks_for_another(question.instructions):
        return False, False
    return True, asked != answered
