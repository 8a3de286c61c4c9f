"""The words of the pages, in each language: one folder a language, one file a page, the same names in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway import wording
from lmaas_gateway.wording import LANGUAGES, Language, read_words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LANGUAGES", "NAMES", "TAGS", "Language", "Words", "choose_language", "words_of"]

NAMES: Mapping[Language, str] = {"en": "English", "zh": "中文"}
TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-Hans"}
"""As HTML names them."""


def words_of(language: Language) -> Mapping[str, str]:
    """Give the words of a language by their names, as `keys.title`."""
    return read_words(__package__ or "", language)


class Words(wording.Words):
    """Says things of pages in one language.

    Args:
        language: Which.

    Attributes:
        sentences: What the gateway tells of calls and alerts, in the same language.
    """

    def __init__(self, language: Language) -> None:
        super().__init__(language, words_of(language))
        self.sentences = wording.sentences_of(language)


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
