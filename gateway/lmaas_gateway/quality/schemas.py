"""Whether JSON that a model wrote is what its schema asks for.

Schemas are callers' own, so nothing in one may cost much or reach out: patterns are matched in linear time,
references out of the schema are refused, and one that grows too much when its references are followed, or has
no end, is not held against anything.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec

_MAX_NODES = 5000
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=2**20, dfa_size_limit=2**20)


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


def _validator(schema: object) -> jsonschema_rs.Draft202012Validator:
    if not isinstance(schema, dict):
        raise UnusableSchemaError
    _count(schema, schema, (), [0])
    try:
        return jsonschema_rs.Draft202012Validator(schema, pattern_options=_PATTERNS, offline=True)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise UnusableSchemaError from error


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
