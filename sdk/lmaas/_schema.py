"""JSON schemas that a model is held to, from Python types and functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from pydantic import TypeAdapter

_SECTION: Final = re.compile(
    r"^(Args|Arguments|Returns|Yields|Raises|Examples?|Notes?|Attributes|Source):\s*$"
)
_ARGUMENT: Final = re.compile(r"^(\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return `schema` with every property required, none beside them allowed, and no defaults.

    So the model says each field itself, and hosted platforms take the schema as strict.
    """
    strict: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"properties", "$defs"}:
            strict[key] = {name: strict_schema(inner) for name, inner in value.items()}
        elif key != "default":
            strict[key] = _strict_value(value)
    if "properties" in strict:
        strict["required"] = list(strict["properties"])
        strict["additionalProperties"] = False
    return strict


def _strict_value(value: Any) -> Any:
    if isinstance(value, dict):
        return strict_schema(value)
    if isinstance(value, list):
        return [_strict_value(item) for item in value]
    return value


def schema_name(value: Any) -> str:
    """Return a name for a type that the API takes: letters, digits, `_` and `-`, at most 64 of them."""
    name = getattr(value, "__name__", "") or str(value)
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:64] or "output"


def function_adapter(function: Callable[..., Any]) -> TypeAdapter[Any]:
    """Return what validates arguments and then calls `function` with them."""
    return TypeAdapter(cast("type[Any]", function))


def function_definition(function: Callable[..., Any], adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """Describe `function` to a model by its signature and its Google docstring, under `strict`.

    Raises:
        TypeError: a model cannot call it: it takes positional-only or `*args` parameters, or types without
            a JSON schema.
    """
    name = schema_name(function)
    try:
        schema = adapter.json_schema()
    except Exception as exc:
        message = f"{name}() cannot be a tool: {exc}"
        raise TypeError(message) from exc
    if schema.get("type") != "object":
        message = f"{name}() cannot be a tool: a model gives arguments by name, not by position."
        raise TypeError(message)
    description, about = read_docstring(inspect.getdoc(function) or "")
    for parameter, text in about.items():
        if parameter in schema.get("properties", {}):
            schema["properties"][parameter].setdefault("description", text)
    parameters = strict_schema({"properties": {}, **schema})
    return {"name": name, "description": description, "parameters": parameters, "strict": True}


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a Google docstring into what stands before its sections, and what it says of each argument."""
    before: list[str] = []
    about: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section = heading[1]
        elif not section:
            before.append(line)
        elif section.startswith("Arg"):
            _read_argument(line, about)
    described = {name: " ".join(lines).strip() for name, lines in about.items()}
    return "\n".join(before).strip(), described


def _read_argument(line: str, about: dict[str, list[str]]) -> None:
    depth = len(line) - len(line.lstrip())
    argument = _ARGUMENT.match(line.strip())
    if argument is not None and depth <= 4:
        about[argument[1].lstrip("*")] = [argument[2]]
    elif about and line.strip():
        about[next(reversed(about))].append(line.strip())
