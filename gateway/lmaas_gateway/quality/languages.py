"""Which language a text is in, as far as that shows without a model: by its script, then by its small words.

Sources: the scripts of Unicode Standard Annex 24; small words, as G. Grefenstette, "Comparing two language
identification schemes", JADT 1995. It says nothing rather than something doubtful: of short texts, of code,
and of languages in Latin letters that are not listed.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPTS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "zh": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+"),
        "ja": re.compile(r"[\u3040-\u30ff]+"),
        "ko": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]+"),
        "ru": re.compile(r"[\u0400-\u04ff]+"),
        "ar": re.compile(r"[\u0600-\u06ff]+"),
        "he": re.compile(r"[\u0590-\u05ff]+"),
        "el": re.compile(r"[\u0370-\u03ff]+"),
        "th": re.compile(r"[\u0e00-\u0e7f]+"),
        "hi": re.compile(r"[\u0900-\u097f]+"),
        "latin": re.compile(r"[A-Za-z\u00c0-\u024f]+"),
    }
)
"""By script; a script that serves several languages has the name of the greatest."""

_WORDS = """
en the and of to in is that it for was with as are on be this have from or by you not your can an
en but at we they he she his her all which who what if so no will would my me us there their has
en been more when do does out up
de der die das und ist nicht ein eine zu den mit von auf für sich des dem es im auch wie sie ich
de wir er aber an oder so bei nach aus als noch nur wenn kann sind war hat haben werden wird einen
de einer eines
fr le la les et est des une un du que pour dans pas sur qui vous nous au avec ce il sont je de en
fr se par ne plus elle mais ou son ses aux cette ces être à
es el la los las y es de que en un una por para con del se no su al como más lo son muy pero sus
es está o este esta ha le si ya
it il la di che un una per non è in con del della sono si gli le da come più anche nel alla lo ma
it ha dei delle questo questa
pt o os as é de que em um uma para com não do da se no na por mais como dos são mas ao ou foi está
pt das pelo seu sua
"""
_SMALL_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        name: frozenset(
            word for line in _WORDS.splitlines() if line.startswith(name + " ") for word in line.split()[1:]
        )
        for name in ("en", "de", "fr", "es", "it", "pt")
    }
)
# What is the same in all languages.
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\$\$?[^$\n]+\$\$?", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")
# A Chinese character says about as much as two or three letters.
_WEIGHTS: Mapping[str, float] = MappingProxyType({"zh": 2.5, "ja": 2.0, "ko": 2.0})
_MIN_LETTERS = 16.0
_MIN_SHARE = 0.6
_MIN_KANA_SHARE = 0.1
_MIN_HITS = 2
_MIN_HIT_SHARE = 0.12
_LEAD = 1.3
_MAX_CHARS = 8192


def language_of(text: str) -> str | None:
    """Give the language of a text (ISO 639-1); None if it does not show."""
    prose = _NOT_PROSE.sub(" ", text[:_MAX_CHARS])
    is_ascii = prose.isascii()
    letters = {
        name: 0.0
        if is_ascii and name != "latin"
        else sum(map(len, script.findall(prose))) * _WEIGHTS.get(name, 1.0)
        for name, script in _SCRIPTS.items()
    }
    total = sum(letters.values())
    if total < _MIN_LETTERS:
        return None
    # Japanese is written with both.
    if letters["ja"] >= _MIN_KANA_SHARE * (letters["ja"] + letters["zh"]):
        letters["ja"] += letters["zh"]
        letters["zh"] = 0.0
    greatest = max(letters, key=letters.__getitem__)
    if letters[greatest] < _MIN_SHARE * total:
        return None
    return _by_small_words(prose) if greatest == "latin" else greatest


def _by_small_words(prose: str) -> str | None:
    words = _WORD.findall(prose.lower())
    hits = {name: sum(word in small for word in words) for name, small in _SMALL_WORDS.items()}
    best, second = sorted(hits, key=hits.__getitem__, reverse=True)[:2]
    is_clear = (
        hits[best] >= max(_MIN_HITS, _MIN_HIT_SHARE * len(words)) and hits[best] >= _LEAD * hits[second]
    )
    return best if is_clear else None


_NAMES = (
    "english|chinese|mandarin|german|french|spanish|italian|portuguese|japanese|korean|russian|arabic|hebrew|"
    "greek|thai|hindi"
)
_ASKS_FOR_ANOTHER = re.compile(
    r"translat|übersetz|tradu[cizs]|翻译|译成|译为|翻訳|перевед|"
    rf"\bin(?:to)?\s+(?:{_NAMES})\b|"
    rf"\b(?:speak|respond|reply|answer|write)\s+(?:only\s+)?(?:in\s+)?(?:{_NAMES})\b|"
    r"英文|英语|中文|汉语|德语|法语|西班牙语|意大利语|葡萄牙语|日语|韩语|俄语|阿拉伯语|"
    r"auf (?:deutsch|englisch)|"
    r"en (?:anglais|français|inglés|español)",
    re.IGNORECASE,
)


def asks_for_another(text: str) -> bool:
    """Tell whether a prompt speaks of a language, so that a reply in another than its own is no drift."""
    return _ASKS_FOR_ANOTHER.search(text) is not None
