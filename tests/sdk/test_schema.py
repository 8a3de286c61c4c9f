from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from lmaas._schema import (
    function_adapter,
    function_definition,
    read_docstring,
    schema_name,
    strict_schema,
)


class Inner(BaseModel):
    size: int = 3


class Outer(BaseModel):
    name: str
    inner: Inner | None = None
    many: list[Inner] = Field(default_factory=list)
    free: dict[str, int] = Field(default_factory=dict)
    default: str = "x"


def definition(function: Any) -> dict[str, Any]:
    return function_definition(function, function_adapter(function))


def test_strict_schema_requires_every_property_and_no_other_at_each_depth() -> None:
    schema = strict_schema(Outer.model_json_schema())
    assert schema["required"] == ["name", "inner", "many", "free", "default"]
    assert schema["additionalProperties"] is False
    inner = schema["$defs"]["Inner"]
    assert (inner["required"], inner["additionalProperties"]) == (["size"], False)
    assert "default" not in inner["properties"]["size"]


def test_strict_schema_keeps_properties_named_like_keywords_and_free_mappings() -> None:
    schema = strict_schema(Outer.model_json_schema())
    assert schema["properties"]["default"]["type"] == "string"
    assert schema["properties"]["free"]["additionalProperties"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("value", "name"), [(Outer, "Outer"), (list[int], "list"), (int | str, "int_str"), ("+", "output")]
)
def test_name_of_a_schema_has_only_what_the_api_takes(value: object, name: str) -> None:
    assert schema_name(value) == name


def weather(city: str, unit: Literal["c", "f"] = "c", *, days: int = 1) -> str:
    """Tell the weather.

    For some days to come.

    Args:
        city: Where, in
            English.
        unit (str): Of the temperature.
        other: Not a parameter.

    Returns:
        days: a trap.
    """
    return f"{city} {unit} {days}"


def test_function_is_described_by_its_signature_and_docstring() -> None:
    told = definition(weather)
    assert told["name"] == "weather"
    assert told["description"] == "Tell the weather.\n\nFor some days to come."
    assert told["strict"] is True
    parameters = told["parameters"]
    assert parameters["properties"]["city"]["description"] == "Where, in English."
    assert parameters["properties"]["unit"]["description"] == "Of the temperature."
    assert parameters["properties"]["unit"]["enum"] == ["c", "f"]
    assert "description" not in parameters["properties"]["days"]
    assert parameters["required"] == ["city", "unit", "days"]


def test_function_without_anything_takes_an_empty_object() -> None:
    def now() -> str:
        return "now"

    told = definition(now)
    assert told["description"] == ""
    assert told["parameters"]["properties"] == {}
    assert told["parameters"]["additionalProperties"] is False


def test_function_that_a_model_cannot_call_is_refused() -> None:
    def by_position(city: str, /) -> str:
        return city

    def odd(what: type[Any]) -> str:
        return str(what)

    with pytest.raises(TypeError, match=r"by_position\(\) cannot be a tool: a model gives arguments by name"):
        definition(by_position)
    with pytest.raises(TypeError, match=r"odd\(\) cannot be a tool"):
        definition(odd)


def test_text_that_continues_no_argument_is_dropped() -> None:
    assert read_docstring("Do.\n\nArgs:\n    - nothing here\n") == ("Do.", {})
