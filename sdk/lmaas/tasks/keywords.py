"""`keywords`: the words that a text is about, each of which stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lmaas.tasks._answers import json_items
from lmaas.tasks._chunks import fitted
from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan, chats
from lmaas.tasks._result import Result, Span
from lmaas.tasks._spans import Locator
from lmaas.tasks.entities import list_schema

ANSWER_TOKENS: Final = 256
MOST: Final = 50
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word or phrase of the text, and every place where it stands."""

    text: str
    places: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keywords(Result):
    """The keywords of a text.

    Attributes:
        keywords: In the order of the model, the most important first; of a text that was read in pieces,
            the first of each piece come before the second.
        dropped: What the model listed that is not in the text.
        is_complete: False if an answer was cut at `max_tokens`.
    """

    keywords: tuple[Keyword, ...]
    dropped: tuple[str, ...] = ()
    is_complete: bool = True


def plan(job: Job, text: str, top_k: int = 5) -> Plan[Keywords]:
    """Plan the search for keywords; see `Tasks.keywords`."""
    if not 1 <= top_k <= MOST:
        message = f"top_k is {top_k}; give 1 to {MOST}."
        raise TaskInputError(message)
    values = {"count": str(top_k)}
    pieces = yield from fitted(job, text, values, ANSWER_TOKENS)
    schema = list_schema("keywords", {"type": "string", "minLength": 1, "maxLength": _LONGEST}, top_k)
    calls = [job.schema_chat({**values, "text": piece.text}, ANSWER_TOKENS, schema) for piece in pieces]
    answers = [json_items(reply, "keywords") for reply in (yield from chats(calls))]
    ranks = max((len(answer.items) for answer in answers), default=0)
    said = [answer.items[rank] for rank in range(ranks) for answer in answers if rank < len(answer.items)]
    found, dropped = _checked(text, [word.strip() for word in said if isinstance(word, str)])
    is_complete = all(answer.is_complete for answer in answers)
    return Keywords(keywords=tuple(found[:top_k]), dropped=tuple(dropped), is_complete=is_complete)


def _checked(text: str, said: list[str]) -> tuple[list[Keyword], list[str]]:
    locator = Locator(text)
    found: list[Keyword] = []
    dropped: list[str] = []
    seen: set[str] = set()
    for word in said:
        if word.casefold() in seen:
            continue
        seen.add(word.casefold())
        places = locator.all(word)
        if places:
            found.append(Keyword(places[0].text, tuple(places)))
        else:
            dropped.append(word)
    return found, dropped
