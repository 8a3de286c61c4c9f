"""Reads what a model said: the text of an answer, and JSON that may have been cut short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmaas.tasks._errors import TaskOutputError
from lmaas.types import ChatCompletion


@dataclass(frozen=True, slots=True)
class JsonItems:
    """The items of a JSON answer.

    Attributes:
        is_complete: False if the answer was cut; the items are those that had come whole by then.
    """

    items: tuple[Any, ...]
    is_complete: bool


def text_of(reply: ChatCompletion) -> str:
    """Return what the model said, without blanks around it."""
    if not reply.choices:
        raise TaskOutputError("The reply has no choices; is the model one that chats?")
    return (reply.choices[0].message.content or "").strip()


def is_cut(reply: ChatCompletion) -> bool:
    """Tell whether the answer ended at `max_tokens` and not on its own."""
    return reply.choices[0].finish_reason == "length"


def json_object(reply: ChatCompletion) -> Mapping[str, Any]:
    """Return the object that the model was made to answer with.

    Raises:
        TaskOutputError: the answer is no JSON object.
    """
    said = text_of(reply)
    try:
        value = json.loads(said)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    why = (
        "was cut at max_tokens; raise it"
        if is_cut(reply)
        else "is no JSON object; does the server enforce schemas?"
    )
    message = f"The model's answer {why}."
    raise TaskOutputError(message, said)


def json_items(reply: ChatCompletion, name: str) -> JsonItems:
    """Return the items of the array called `name` in the object that the model was made to answer with.

    Of an answer that was cut at `max_tokens` they are those that had come whole.

    Raises:
        TaskOutputError: the answer has no such array.
    """
    said = text_of(reply)
    start = said.find("[", said.find(f'"{name}"'))
    if f'"{name}"' not in said or start < 0:
        if is_cut(reply):
            return JsonItems((), is_complete=False)
        message = f"The model's answer has no list of {name}; does the server enforce schemas?"
        raise TaskOutputError(message, said)
    return _items_after(said, start + 1)


def _items_after(text: str, index: int) -> JsonItems:
    decoder = json.JSONDecoder()
    items: list[Any] = []
    while True:
        index = _skip(text, index)
        if text[index : index + 1] == "]":
            return JsonItems(tuple(items), is_complete=True)
        try:
            item, index = decoder.raw_decode(text, index)
        except ValueError:
            return JsonItems(tuple(items), is_complete=False)
        items.append(item)


def _skip(text: str, index: int) -> int:
    while index < len(text) and text[index] in ", \t\r\n":
        index += 1
    return index


def string(item: object, name: str) -> str:
    """Return the text called `name` of an item, "" if it has none."""
    value = item.get(name) if isinstance(item, dict) else None
    return value.strip() if isinstance(value, str) else ""
