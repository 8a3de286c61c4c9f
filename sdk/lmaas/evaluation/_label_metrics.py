"""Accuracy, macro-F1, Matthews correlation and calibration error of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmaas.evaluation._metric import Array, Metric, Prediction, mean_of, ratio

BINS = 10
"""Bins of the calibration error, of equal width."""


def label_metrics(gold: Sequence[str], labels: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics for examples whose right labels are `gold`. No answer is a wrong answer."""
    used = frozenset(gold)
    had = [at for at, label in enumerate(labels) if label in used]

    def counts(predictions: Sequence[Prediction]) -> Array:
        return label_rows(gold, [prediction.value for prediction in predictions], labels)

    def shaped(sums: Array) -> Array:
        return sums.reshape(*sums.shape[:-1], len(labels), 3)

    return (
        Metric(
            "macro_f1",
            "mean F1 of the labels that the examples have, each label alike",
            counts,
            lambda sums: macro_f1(shaped(sums)[..., had, :]),
        ),
        mean_of("accuracy", "share of right labels", lambda made: _right(gold, made)),
        Metric(
            "mcc",
            "Matthews correlation of many classes (Gorodkin 2004), -1 to 1; 0 is no better than chance",
            counts,
            lambda sums: matthews(shaped(sums)),
            bottom=-1.0,
        ),
        Metric(
            "ece",
            f"expected calibration error, {BINS} equal bins (Guo et al. 2017); few examples raise it",
            lambda made: calibration_rows(gold, made),
            calibration_error,
            is_higher_better=False,
        ),
    )


def _right(gold: Sequence[str], predictions: Sequence[Prediction]) -> list[float]:
    return [float(made.value == label) for label, made in zip(gold, predictions, strict=True)]


def label_rows(gold: Sequence[str], said: Sequence[str | None], labels: Sequence[str]) -> Array:
    """Return for each example, by label: whether it was right, was had, and was said.

    Their sums are all that F1 and Matthews correlation need of a confusion matrix, whose cells for each
    example would be many where labels are.
    """
    index = {label: at for at, label in enumerate(labels)}
    rows = np.zeros((len(gold), len(labels), 3))
    for row, label, word in zip(rows, gold, said, strict=True):
        row[index[label], 1] = 1.0
        if word in index:
            row[index[label], 0] = float(word == label)
            row[index[word], 2] = 1.0
    return rows.reshape(len(gold), len(labels) * 3)


def macro_f1(counts: Array) -> Array:
    """Return the mean F1 of labels, of counts of right, had and said."""
    f1: Array = ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2]).mean(-1)
    return f1


def matthews(counts: Array) -> Array:
    """Return Matthews correlation; 0 where all examples have, or all answers are, one label.

    Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004;
    no answer is one more category of answers.
    """
    right, had, said = counts[..., 0].sum(-1), counts[..., 1], counts[..., 2]
    total = had.sum(-1)
    unsaid = total - said.sum(-1)
    above = right * total - (had * said).sum(-1)
    below = (total**2 - (had**2).sum(-1)) * (total**2 - (said**2).sum(-1) - unsaid**2)
    return ratio(above, np.sqrt(below))


def calibration_rows(gold: Sequence[str], predictions: Sequence[Prediction]) -> Array | None:
    """Return for each example, by bin: one, its confidence, and whether it is right; None without any.

    Examples without confidence are in no bin.
    """
    if all(made.confidence is None for made in predictions):
        return None
    rows = np.zeros((len(gold), BINS, 3))
    for row, label, made in zip(rows, gold, predictions, strict=True):
        if made.confidence is not None:
            at = min(BINS - 1, int(made.confidence * BINS))
            row[at] = (1.0, made.confidence, float(made.value == label))
    return rows.reshape(len(gold), BINS * 3)


def calibration_error(sums: Array) -> Array:
    """Return the mean distance of confidence and accuracy, each bin by its share of the examples.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    bins = sums.reshape(*sums.shape[:-1], BINS, 3)
    gaps = np.abs(bins[..., 1] - bins[..., 2]).sum(-1)
    return ratio(gaps, bins[..., 0].sum(-1))
