"""`semantic_roles`: who did what to whom: predicates and the words that play a role for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lmaas.tasks._answers import json_items, string
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan, chats
from lmaas.tasks._result import Result, Span
from lmaas.tasks._spans import Locator
from lmaas.tasks._text import sentences
from lmaas.tasks.entities import Dropped, Types, described, list_schema, located, object_schema

ROLES: Final = ("agent", "patient", "recipient", "instrument", "location", "time", "manner", "cause")
"""The roles that are looked for unless others are given."""

ANSWER_TOKENS: Final = 384
_MOST_PREDICATES = 6
_MOST_ARGUMENTS = 6
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Argument:
    """Words that play a role for a predicate: `text == source[start:end]`."""

    role: str
    text: str
    start: int
    end: int
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Predicate:
    """A predicate, and what plays a role for it: `text == source[start:end]`."""

    text: str
    start: int
    end: int
    arguments: tuple[Argument, ...]
    is_exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticRoles(Result):
    """The predicates of a text.

    Attributes:
        predicates: In the order of the text.
        dropped: What the model listed that is not in its sentence, by role; a predicate as "predicate".
            The arguments of a dropped predicate are dropped with it.
        is_complete: False if an answer was cut at `max_tokens`.
    """

    predicates: tuple[Predicate, ...]
    dropped: tuple[Dropped, ...] = ()
    is_complete: bool = True


def plan(job: Job, text: str, roles: Types = ROLES) -> Plan[SemanticRoles]:
    """Plan the analysis of a text, one call a sentence; see `Tasks.semantic_roles`."""
    values = {"roles": described(roles, "roles")}
    parts = sentences(text)
    schema = _schema(list(roles))
    calls = [job.schema_chat({**values, "text": part.text}, ANSWER_TOKENS, schema) for part in parts]
    replies = yield from chats(calls)
    predicates: list[Predicate] = []
    dropped: list[Dropped] = []
    is_complete = True
    for part, reply in zip(parts, replies, strict=True):
        answer = json_items(reply, "predicates")
        is_complete &= answer.is_complete
        placed = (_place(part, item, frozenset(roles), dropped) for item in _with_places(part, answer.items))
        predicates += [predicate for predicate in placed if predicate]
    predicates.sort(key=lambda predicate: predicate.start)
    return SemanticRoles(predicates=tuple(predicates), dropped=tuple(dropped), is_complete=is_complete)


def _with_places(part: Span, items: Sequence[Any]) -> list[tuple[Any, Span | None]]:
    """Return each item with the place of its predicate; a predicate said twice is that of two places."""
    locator = Locator(part.text)
    return [(item, locator.find(string(item, "predicate"))) for item in items]


def _place(
    part: Span, placed: tuple[Any, Span | None], roles: frozenset[str], dropped: list[Dropped]
) -> Predicate | None:
    item, span = placed
    if span is None:
        dropped.append(Dropped(string(item, "predicate"), "predicate"))
        return None
    said = item.get("arguments")
    arguments = tuple(
        Argument(role, place.text, place.start, place.end, place.is_exact)
        for role, place in located(part, said if isinstance(said, list) else (), "role", roles, dropped)
    )
    start, end = part.start + span.start, part.start + span.end
    return Predicate(span.text, start, end, arguments, span.is_exact)


def _schema(roles: Sequence[str]) -> dict[str, Any]:
    argument = object_schema({"role": {"enum": list(roles)}, "text": _text(_LONGEST)})
    arguments = {"type": "array", "maxItems": _MOST_ARGUMENTS, "items": argument}
    predicate = object_schema({"predicate": _text(_LONGEST), "arguments": arguments})
    return list_schema("predicates", predicate, _MOST_PREDICATES)


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}
