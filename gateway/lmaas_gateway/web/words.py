"""The words of the pages, in each language: one folder a language, one file a page, the same names in all."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
NAMES: Mapping[Language, str] = {"en": "English", "zh": "中文"}
TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-Hans"}
"""As HTML names them."""


@lru_cache(maxsize=len(LANGUAGES))
def words_of(language: Language) -> Mapping[str, str]:
    """Give the words of a language by their names, as `keys.title`."""
    found: dict[str, str] = {}
    for entry in resources.files(__package__).joinpath("words", language).iterdir():
        if entry.name.endswith(".toml"):
            page = entry.name.removesuffix(".toml")
            found |= _flatten(page, tomllib.loads(entry.read_text(encoding="utf-8")))
    return found


class Words:
    """Says things in one language.

    Args:
        language: Which.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        self._words = words_of(language)

    def __call__(self, name: str, /, **values: object) -> str:
        """Say something; `{like_this}` in it becomes a value. The result is text, and no markup.

        Raises:
            KeyError: there are no such words.
        """
        return self._words[name].format(**values) if values else self._words[name]

    def __contains__(self, name: str) -> bool:
        return name in self._words

    def under(self, prefix: str) -> dict[str, str]:
        """Give the words below a name, for a script: `under("chat.script")`."""
        start = prefix + "."
        return {
            name.removeprefix(start): text for name, text in self._words.items() if name.startswith(start)
        }


def choose_language(chosen: str, accepted: str) -> Language:
    """Give the language of a person who chose one, or whose browser accepts some.

    Args:
        chosen: As a cookie has it; empty for none.
        accepted: The header `Accept-Language`.

    Source: RFC 9110 §12.5.4.
    """
    for language in LANGUAGES:
        if chosen == language:
            return language
    ranked = sorted(map(_read_range, accepted[:200].split(",")), key=lambda one: -one[0])
    for weight, tag in ranked:
        for language in LANGUAGES:
            if weight > 0 and tag.split("-")[0] == language:
                return language
    return "en"


def _read_range(text: str) -> tuple[float, str]:
    tag, _, parameter = text.strip().lower().partition(";")
    try:
        return float(parameter.strip().removeprefix("q=") or 1), tag.strip()
    except ValueError:
        return 0.0, tag


def _flatten(prefix: str, words: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in words.items():
        if isinstance(value, dict):
            found |= _flatten(f"{prefix}.{name}", value)
        else:
            found[f"{prefix}.{name}"] = value
    return found
