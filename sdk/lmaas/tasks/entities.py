"""`entities`: names and other things of given types, with where they stand in the text."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from lmaas.tasks._answers import json_items, string
from lmaas.tasks._chunks import fitted
from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan, chats
from lmaas.tasks._result import Result, Span
from lmaas.tasks._spans import Locator
from lmaas.tasks._text import words

Types: TypeAlias = Sequence[str] | Mapping[str, str]
"""Types, or types with what they mean."""

ANSWER_TOKENS: Final = 512
_MOST = 32
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that the text names: `text == source[start:end]`, counted in code points."""

    text: str
    type: str
    start: int
    end: int
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Dropped:
    """What the model listed and the text does not have, or not once more."""

    text: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities(Result):
    """The entities of a text.

    Attributes:
        entities: In the order of the text.
        dropped: What the model listed that is not in the text.
        is_complete: False if an answer was cut at `max_tokens`, so that entities may be missing.
    """

    entities: tuple[Entity, ...]
    dropped: tuple[Dropped, ...] = ()
    is_complete: bool = True


def plan(job: Job, text: str, types: Types) -> Plan[Entities]:
    """Plan the search for entities; see `Tasks.entities`."""
    values = {"types": described(types, "types")}
    pieces = yield from fitted(job, text, values, ANSWER_TOKENS)
    calls = [
        job.schema_chat({**values, "text": piece.text}, ANSWER_TOKENS, _schema(list(types), piece.text))
        for piece in pieces
    ]
    replies = yield from chats(calls)
    found: list[Entity] = []
    dropped: list[Dropped] = []
    is_complete = True
    for piece, reply in zip(pieces, replies, strict=True):
        answer = json_items(reply, "entities")
        is_complete &= answer.is_complete
        found += [
            Entity(span.text, kind, span.start, span.end, span.is_exact)
            for kind, span in located(piece, answer.items, "type", types, dropped)
        ]
    found.sort(key=lambda entity: (entity.start, entity.end))
    return Entities(entities=tuple(found), dropped=tuple(dropped), is_complete=is_complete)


def described(names: Sequence[str] | Mapping[str, str], argument: str) -> str:
    """Write names, and what they mean, for a prompt.

    Raises:
        TaskInputError: there are none, or one is empty.
    """
    if isinstance(names, str) or not names or not all(name.strip() for name in names):
        message = f"{argument}: give one or more, none of them empty."
        raise TaskInputError(message)
    if isinstance(names, Mapping):
        return "; ".join(f"{name} ({meaning})" for name, meaning in names.items())
    return ", ".join(names)


def located(
    piece: Span, items: Iterable[Any], label: str, labels: Container[str], dropped: list[Dropped]
) -> Iterator[tuple[str, Span]]:
    """Find in a piece of the text what the model listed of it; yield each label and its place in the text.

    Args:
        piece: Of the text.
        items: What the model listed: objects with a `text` and a label.
        label: What an item calls its label.
        labels: Those that were asked for.
        dropped: Takes what has another label, and what the piece does not have, or not once more.
    """
    locator = Locator(piece.text)
    for item in items:
        quote, said = string(item, "text"), string(item, label)
        span = locator.find(quote) if said in labels else None
        if span is None:
            dropped.append(Dropped(quote, said))
        else:
            yield said, replace(span, start=piece.start + span.start, end=piece.start + span.end)


def _schema(types: Sequence[str], text: str) -> dict[str, Any]:
    # No more things than words, none longer than the text: a weak model is kept from repeating itself.
    most = min(_MOST, max(1, len(words(text))))
    longest = min(_LONGEST, len(text))
    quote = {"type": "string", "minLength": 1, "maxLength": longest}
    return list_schema("entities", object_schema({"text": quote, "type": {"enum": list(types)}}), most)


def list_schema(name: str, item: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Return the schema of an object with one list, bounded so that a model cannot go on for ever."""
    return object_schema({name: {"type": "array", "maxItems": most, "items": item}})


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has all these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
