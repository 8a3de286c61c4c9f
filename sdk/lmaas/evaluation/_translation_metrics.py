"""chrF and BLEU, by sacrebleu: its own statistics of each sentence, its own score of their sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lmaas.evaluation._errors import needs
from lmaas.evaluation._metric import Array, Metric, Prediction

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Sacre

_CODES: Final = frozenset({"zh", "zho", "chi", "cmn", "yue"})
_NAMES: Final = ("chinese", "mandarin", "cantonese", "中文", "汉语", "漢語", "华语", "华文", "普通话", "国语")


def translation_metrics(references: Sequence[str], targets: Sequence[str]) -> tuple[Metric, ...]:
    """Return chrF2 and BLEU over the corpus, 0 to 100.

    BLEU cuts Chinese at its characters (`zh`) if most translations are into it, else words as WMT does
    (`13a`): its figures of two languages say nothing about each other.

    Raises:
        ConfigurationError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - of an extra, and heavy
        from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415 - likewise
    except ImportError:
        raise needs("sacrebleu") from None
    chinese = sum(is_chinese(target) for target in targets)
    tokenizer = "zh" if chinese * 2 > len(targets) else "13a"
    chrf, bleu = CHRF(), BLEU(tokenize=tokenizer)
    return (_metric("chrf", chrf, references), _metric("bleu", bleu, references))


def is_chinese(target: str) -> bool:
    """Tell whether a target language is Chinese, as a code such as "zh_CN" or as a name."""
    name = target.strip().casefold()
    return name.replace("_", "-").partition("-")[0] in _CODES or any(word in name for word in _NAMES)


def _metric(name: str, scorer: Sacre, references: Sequence[str]) -> Metric:
    # The two methods that sacrebleu's own significance tests are made of; a test holds their result to
    # that of `corpus_score`.
    take: Callable[..., Any] = scorer._extract_corpus_statistics  # noqa: SLF001 - see above
    give: Callable[..., Any] = scorer._compute_score_from_stats  # noqa: SLF001 - likewise

    def statistics(predictions: Sequence[Prediction]) -> Array:
        said = [prediction.value or "" for prediction in predictions]
        return np.array(take(said, [list(references)]), dtype=np.float64)

    def score(sums: Array) -> Array:
        rows = sums.reshape(-1, sums.shape[-1]).astype(int).tolist()
        return np.array([give(row).score for row in rows], dtype=np.float64).reshape(sums.shape[:-1])

    take([""], [[""]])
    return Metric(name, f"sacrebleu {_signature(scorer)}", statistics, score, top=100.0)


def _signature(scorer: Sacre) -> str:
    # Without the number of references, which is known only after the first corpus.
    scorer.num_refs = 1
    return str(scorer.get_signature())
