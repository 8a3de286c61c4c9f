"""Whether the reply to a canary prompt is as expected; if not, in what, without a word of the reply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lmaas_gateway.quality.languages import language_of
from lmaas_gateway.quality.schemas import UnusableSchemaError, fits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.quality.reading import Answer
    from lmaas_gateway.settings import Expectation


def problem_of(answer: Answer, first_token_s: float, expected: Expectation) -> str:
    """Say what of a reply is not as expected, the first thing; empty if all is."""
    return next(_problems(answer, first_token_s, expected), "")


def _problems(answer: Answer, first_token_s: float, expected: Expectation) -> Iterator[str]:
    text, limit_s = answer.text, expected.max_first_token_s
    if not answer.end:
        yield "the reply did not come to its end"
    if expected.contains is not None and expected.contains.casefold() not in text.casefold():
        yield "the reply does not contain `contains`"
    if expected.regex is not None and re.search(expected.regex, text) is None:
        yield "the reply does not match `regex`"
    if expected.json_schema is not None and not _fits(text, expected.json_schema):
        yield "the reply is not what `json_schema` asks for"
    if expected.language is not None and language_of(text) != expected.language:
        yield f"the reply does not show as {expected.language}"
    if limit_s is not None and first_token_s > limit_s:
        yield f"the first token took {first_token_s:.2f} s, not {limit_s:g} s at most"


def _fits(text: str, schema: dict[str, object]) -> bool:
    try:
        return fits(text, schema)
    except UnusableSchemaError:
        return False
