"""Sentences that the gateway tells people, in each language: a name and its values here, the words in files.

    say = Words("zh", sentences_of("zh"))
    say("calls.queue.waited", time="1.20 s")

The files stand in a package's folder `words`, one folder a language, the same names with the same places in
all. What leaves the gateway for programs is English; pages are in the language of who looks.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_PLACE = re.compile(r"\\{(\w+)\\}")


class Said(msgspec.Struct, frozen=True):
    """Something to be told, before it is in any language.

    Attributes:
        name: Of the sentence, as `alerts.down`.
        values: What stands in it, by the names of its places.
    """

    name: str
    values: dict[str, str] = {}


class Words:
    """Says things in one language.

    Args:
        language: Which.
        words: By their names.
    """

    def __init__(self, language: Language, words: Mapping[str, str]) -> None:
        self.language = language
        self._words = words

    def __call__(self, name: str, /, **values: object) -> str:
        """Say something; `{like_this}` in it becomes a value. The result is text, and no markup.

        Raises:
            KeyError: there are no such words.
        """
        return self._words[name].format(**values) if values else self._words[name]

    def __contains__(self, name: str) -> bool:
        return name in self._words

    def named(self, name: str, otherwise: str) -> str:
        """Say something that has no place for a value; what it is otherwise if there are no such words."""
        return self._words.get(name, otherwise)

    def tell(self, said: Said) -> str:
        """Say what was said before, perhaps by another release that knew more: then its name will do."""
        try:
            return self(said.name, **{name: self.problem(value) for name, value in said.values.items()})
        except KeyError:
            return said.name

    def problem(self, text: str) -> str:
        """Say a problem, found in English deep below, in this language; one that nobody knows stays."""
        if self.language == "en":
            return text
        for name, form in _problem_forms():
            if found := form.fullmatch(text):
                return self(name, **{place: self.problem(said) for place, said in found.groupdict().items()})
        return text

    def under(self, prefix: str) -> dict[str, str]:
        """Give the words below a name, for a script: `under("chat.script")`."""
        start = prefix + "."
        return {
            name.removeprefix(start): text for name, text in self._words.items() if name.startswith(start)
        }


@lru_cache(maxsize=16)
def read_words(package: str, language: Language) -> Mapping[str, str]:
    """Read the words of a language by their names, as `keys.title`, from a package's folder `words`."""
    found: dict[str, str] = {}
    for entry in resources.files(package).joinpath("words", language).iterdir():
        if entry.name.endswith(".toml"):
            page = entry.name.removesuffix(".toml")
            found |= _flatten(page, tomllib.loads(entry.read_text(encoding="utf-8")))
    return found


def sentences_of(language: Language) -> Words:
    """Give what is told of calls and alerts in a language."""
    return Words(language, read_words(__package__ or "", language))


@lru_cache(maxsize=1)
def _problem_forms() -> list[tuple[str, re.Pattern[str]]]:
    """Give what English problems look like; first those that say the most beside their values."""
    words = read_words(__package__ or "", "en")
    found = [(name, text) for name, text in words.items() if name.startswith("problems.")]
    found.sort(key=lambda one: -len(re.sub(r"\{\w+\}", "", one[1])))
    return [(name, re.compile(_PLACE.sub(r"(?P<\1>.+?)", re.escape(text)))) for name, text in found]


def _flatten(prefix: str, words: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in words.items():
        if isinstance(value, dict):
            found |= _flatten(f"{prefix}.{name}", value)
        else:
            found[f"{prefix}.{name}"] = value
    return found
