"""The prompts: data in `prompts/`, one file a task and language, read when a task first needs it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._text import Language

PLACEHOLDERS: Final[Mapping[str, frozenset[str]]] = {
    "classify": frozenset({"text", "labels"}),
    "sentiment": frozenset({"text", "labels"}),
    "entities": frozenset({"text", "types"}),
    "semantic_roles": frozenset({"text", "roles"}),
    "summarize": frozenset({"text", "length"}),
    "translate": frozenset({"text", "target", "glossary"}),
    "answer": frozenset({"text", "question"}),
    "keywords": frozenset({"text", "count"}),
}
"""What stands for what in the prompt of each task: `$text` and so on."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a task tells the model.

    Attributes:
        user: The message with the text, with `$placeholders`; "$$" is a dollar sign.
        system: What goes before it; "" for nothing.
        words: Words that the task puts into placeholders or reads back, in the prompt's language.
    """

    user: str
    system: str = ""
    words: Mapping[str, str] = field(default_factory=dict)

    def check(self, task: str) -> None:
        """Refuse a prompt that would leave a placeholder as it is, or the text out.

        Raises:
            TaskInputError: it names something that the task does not fill in, or lacks `$text`.
        """
        known = PLACEHOLDERS[task]
        used = {*Template(self.user).get_identifiers(), *Template(self.system).get_identifiers()}
        if unknown := sorted(used - known):
            offered = ", ".join(f"${name}" for name in sorted(known))
            message = f"the prompt of {task} has ${unknown[0]}, which is not filled in; there are {offered}."
            raise TaskInputError(message)
        if "text" not in used:
            message = f"the prompt of {task} has no $text: the model would not see the text."
            raise TaskInputError(message)

    def messages(self, values: Mapping[str, str]) -> list[dict[str, str]]:
        """Fill the placeholders in and return the messages.

        A value is put in as it is: what looks like a placeholder in a text stays what it is.
        """
        user = {"role": "user", "content": Template(self.user).substitute(values)}
        system = Template(self.system).substitute(values)
        return [{"role": "system", "content": system}, user] if system else [user]


@cache
def packaged_prompt(task: str, language: Language) -> Prompt:
    """Return the prompt that comes with the package."""
    text = files("lmaas.tasks").joinpath("prompts", f"{task}.{language}.toml").read_text("utf-8")
    data = tomllib.loads(text)
    return Prompt(data["user"].strip(), data.get("system", "").strip(), data.get("words", {}))
