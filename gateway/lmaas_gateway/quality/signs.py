"""What can be seen of a text without a model: that it refuses, says nothing, or goes round in circles.

Sources: refusals by their wording, as A. Zou et al., arXiv:2307.15043, and P. Röttger et al. (XSTest),
arXiv:2308.01263, match them; repetition by duplicate 10-grams, as J. Rae et al. (Gopher), arXiv:2112.11446,
table A1, and by a tail that only repeats itself. How often they are right on a small sample: docs/quality.md.
"""

from __future__ import annotations

import re
import unicodedata

_OPENING_CHARS = 300
_VERBS_EN = (
    r"help(?! but)|assist|comply|provide|do that|fulfil|fulfill|support|write|create|generate|give|share|"
    r"discuss|engage|answer|offer|participate|produce|continue|complete|tell you|explain how|be part of|"
    r"facilitate|fabricate"
)
_REFUSAL_EN = re.compile(
    r"\b(?:i|we)"
    r"(?:\s+(?:can(?:no|')?t|can not|(?:am|are) not able to|(?:am|are) unable to|won't|will not|"
    r"(?:must|have to) decline to|(?:must )?refuse to)|'m (?:not able|unable) to|'re (?:not able|unable) to)"
    rf"\s+(?:\w+ly\s+)?(?:{_VERBS_EN})\b"
    r"|\b(?:i|we)\s+(?:must|have to)\s+(?:respectfully\s+)?decline\b"
    r"|\bas an ai\b[^.!?\n]{0,40}\bi (?:can't|cannot|am unable to|am not able to|won't)\b"
    r"|\bagainst my (?:guidelines|programming|policies|principles)\b"
    r"|\b(?:i'm|i am) (?:sorry|afraid),?(?: but)? i (?:can't|cannot|won't|am unable to|am not able to)\b",
    re.IGNORECASE,
)
_VERBS_ZH = (
    "提供|帮助|帮您|帮你|协助|回答|满足|完成|生成|讨论|支持|参与|告诉|透露|执行|编写|撰写|继续|处理|为您|为你"
)
_SAME_SENTENCE_ZH = r"[^。！？\n]"
_REFUSAL_ZH = re.compile(
    rf"(?:抱歉|对不起|不好意思|很遗憾){_SAME_SENTENCE_ZH}{{0,24}}"
    rf"(?:不能|无法|不可以|没办法|不便|不会|难以){_SAME_SENTENCE_ZH}{{0,10}}(?:{_VERBS_ZH})"
    rf"|我(?:不能|无法|拒绝|没办法|不可以|不会)[^。,\uff0c\uff01\uff1f\n]{{0,6}}(?:{_VERBS_ZH})"
    r"|作为[^。\uff0c\n]{0,16}(?:AI|人工智能|语言模型|助手)[^。\n]{0,12}(?:不能|无法|不会|拒绝)"
    r"|违反(?:了)?(?:我的|我们的|相关|使用){0,3}(?:规定|准则|政策|原则)",
    re.IGNORECASE,
)
# Words, and of scripts without blanks each character.
_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\W\u3040-\u9fff\uac00-\ud7af]+")
_MAX_UNITS = 4000
_LONGEST_PERIOD = 60
_MIN_ROUNDS = 4
_MIN_LOOP_UNITS = 24
_GRAM = 10
_MIN_GRAM_UNITS = 60
# Gopher drops web pages above 0.10; replies have tables and lists, which repeat their frames.
_MAX_DUPLICATE_SHARE = 0.4


def is_refusal(text: str) -> bool:
    """Tell whether a reply begins by declining what was asked, in English or Chinese."""
    opening = text.strip()[:_OPENING_CHARS].replace("\u2019", "'")
    return _REFUSAL_EN.search(opening) is not None or _REFUSAL_ZH.search(opening) is not None


def is_empty(text: str) -> bool:
    """Tell whether a reply has nothing to read."""
    return not any(char.isalnum() or unicodedata.category(char) == "So" for char in text)


def is_repeating(text: str) -> bool:
    """Tell whether a reply goes round in circles: at its end, or over much of its length."""
    units = _UNIT.findall(text.lower())[-_MAX_UNITS:]
    return _ends_in_a_loop(units) or _duplicate_share(units) > _MAX_DUPLICATE_SHARE


def _ends_in_a_loop(units: list[str]) -> bool:
    for period in range(1, min(_LONGEST_PERIOD, len(units) // _MIN_ROUNDS) + 1):
        wanted = max(_MIN_ROUNDS * period, _MIN_LOOP_UNITS)
        if len(units) >= wanted and units[-wanted:-period] == units[period - wanted :]:
            return True
    return False


def _duplicate_share(units: list[str]) -> float:
    """Give the share of a text that stands in a run of ten units which stood before."""
    if len(units) < _MIN_GRAM_UNITS:
        return 0.0
    seen: set[tuple[str, ...]] = set()
    covered = covered_until = 0
    for start in range(len(units) - _GRAM + 1):
        gram = tuple(units[start : start + _GRAM])
        if gram in seen:
            covered += start + _GRAM - max(start, covered_until)
            covered_until = start + _GRAM
        else:
            seen.add(gram)
    return covered / len(units)
