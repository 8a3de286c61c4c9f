"""ROUGE over words, for English and Chinese.

Words are runs of letters and digits, in lower case and not stemmed; a Han character is a word of its own. The
usual packages split at blanks, or keep only Latin letters: two equal Chinese sentences then score 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from lmaas.evaluation._metric import Metric, Prediction, mean_of

_WORD: Final = re.compile(
    r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|(?:(?![\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[^\W_])+"
)


def rouge_metrics(references: Sequence[str]) -> tuple[Metric, ...]:
    """Return ROUGE-L, ROUGE-1 and ROUGE-2 against one reference each, as means of F1 over the examples."""
    words = [tokens(reference) for reference in references]

    def metric(name: str, n: int, what: str) -> Metric:
        def values(predictions: Sequence[Prediction]) -> list[float]:
            said = [tokens(prediction.value or "") for prediction in predictions]
            return [rouge(ours, theirs, n) for ours, theirs in zip(said, words, strict=True)]

        definition = f"mean F1 of {what} (Lin 2004), lower case, no stemming, Han by character"
        return mean_of(name, definition, values)

    return (
        metric("rouge_l", 0, "the longest common subsequence of words"),
        metric("rouge_1", 1, "words"),
        metric("rouge_2", 2, "pairs of words"),
    )


def tokens(text: str) -> list[str]:
    """Return the words of a text, as ROUGE counts them here."""
    return _WORD.findall(text.lower())


def rouge(said: Sequence[str], reference: Sequence[str], n: int) -> float:
    """Return F1 of n-grams, each as often as it stands there; of the longest common subsequence for 0.

    Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, with beta = 1.
    """
    if n == 0:
        return _f1(common_subsequence(said, reference), len(said), len(reference))
    ours, theirs = _grams(said, n), _grams(reference, n)
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, in len(a) x len(b) steps and one row of memory."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for at, other in enumerate(b, 1):
            diagonal, row[at] = row[at], diagonal + 1 if word == other else max(row[at], row[at - 1])
    return row[-1]


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def _f1(common: int, ours: int, theirs: int) -> float:
    return 2 * common / (ours + theirs) if ours + theirs else 0.0
