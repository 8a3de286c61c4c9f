"""Whether JSON that a model wrote is what its schema asks for.

Schemas are callers' own, so nothing in one may cost much or reach out: patterns are matched in linear time,
references out of the schema are refused, and one that grows too much when its references are followed, or has
no end, is not held against anything.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema_rs import Draft202012Validator

_MAX_NODES = 5000


class UnusableSchemaError(Exception):
    """The schema cannot be held against anything."""


def fits(text: str, schema: object = None) -> bool:
    """Tell whether a text is JSON, and what its schema asks for if there is one.

    Raises:
        UnusableSchemaError: the schema cannot be used.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return schema is None or _validator(schema).is_valid(value)


def _validator(schema: object) -> Draft202012Validator:
    if not isinstance(schema, dict):
        raise UnusableSchemaError
    _count(schema, schema, (), [0])
    try:
        return _compiler()(schema)
    except ValueError as error:
        raise UnusableSchemaError from error


@cache
def _compiler() -> Callable[[dict[str, Any]], Draft202012Validator]:
    """Load what compiles schemas, which most gateways never meet one of."""
    from jsonschema_rs import Draft202012Validator, RegexOptions  # noqa: PLC0415 - heavy

    patterns = RegexOptions(size_limit=2**20, dfa_size_limit=2**20)
    return partial(Draft202012Validator, pattern_options=patterns, offline=True)


def _count(node: object, root: dict[str, Any], path: tuple[str, ...], nodes: list[int]) -> None:
    """Walk through a schema as through a tree, its references followed.

    Raises:
        UnusableSchemaError: it is larger than any that people write, or a reference leads back to itself.
    """
    nodes[0] += 1
    if nodes[0] > _MAX_NODES:
        raise UnusableSchemaError
    if isinstance(node, list):
        for one in node:
            _count(one, root, path, nodes)
    elif isinstance(node, dict):
        for name, one in node.items():
            if name in {"$defs", "definitions"}:
                continue
            if name == "$id" and node is not root:
                raise UnusableSchemaError
            if name in {"$ref", "$dynamicRef", "$recursiveRef"}:
                if not isinstance(one, str) or one in path or name != "$ref":
                    raise UnusableSchemaError
                _count(_resolve(one, root), root, (*path, one), nodes)
            else:
                _count(one, root, path, nodes)


def _resolve(reference: str, root: dict[str, Any]) -> object:
    if not reference.startswith("#/"):
        raise UnusableSchemaError
    node: object = root
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or name not in node:
            raise UnusableSchemaError
        node = node[name]
    return node
