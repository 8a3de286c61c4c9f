"""Chat templates: what turns messages into the text that a model reads.

A template comes with a model's files, from whoever made the model; it runs in jinja's sandbox, without access
to anything but what it is given.

Source: transformers' documentation, "Writing a chat template", for what templates expect to find.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2.parser import Parser

# A template that walks through the parts of a content wants a list of them, not a text.
_WALKS_PARTS = re.compile(
    r"for\s+\w+\s+in\s+\w+(?:\.content|\[['\"]content['\"]\])|content\s+is\s+(?:string|iterable)"
)


class _Generation(Extension):
    """`{% generation %}`, which marks what the model says; here it is only what is in it."""

    tags = {"generation"}  # noqa: RUF012  # as jinja has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Give the block's body."""
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def compile_template(text: str) -> Template:
    """Compile a chat template.

    Raises:
        TemplateError: it is none.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment.from_string(text)


def takes_texts(text: str) -> bool:
    """Tell whether a template takes the content of a message for one text."""
    return _WALKS_PARTS.search(text) is None


def render(template: Template, messages: list[dict[str, Any]], variables: Mapping[str, Any]) -> str:
    """Write messages as the model reads them.

    Raises:
        TemplateError: the template refuses them.
    """
    return template.render(messages=messages, **variables)


def _to_json(
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002  # as templates call it
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - likewise
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # the engine takes its machine's time zone too
