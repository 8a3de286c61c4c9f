"""Each metric against a case worked by hand, and against another implementation where there is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate import Evaluator
from rouge import Rouge
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from lmaas.evaluation._label_metrics import calibration_error, calibration_rows, label_metrics
from lmaas.evaluation._metric import Metric, Prediction
from lmaas.evaluation._ranking_metrics import ndcg, ranking_metrics, recall
from lmaas.evaluation._retrieval_kind import _best
from lmaas.evaluation._rouge import rouge, rouge_metrics, tokens
from lmaas.evaluation._span_metrics import set_metrics
from lmaas.evaluation._translation_metrics import translation_metrics

# Spans that do not overlap, as tags of IOB2 cannot: with others nervaluate's result depends on their order.
SPANS = st.lists(
    st.builds(
        lambda place, size, kind: (4 * place, 4 * place + size, kind),
        st.integers(0, 4),
        st.integers(1, 3),
        st.sampled_from(["person", "place"]),
    ),
    max_size=4,
    unique_by=lambda span: span[0],
)
WORDS = st.lists(st.sampled_from(["the", "river", "rose", "in", "night", "old"]), min_size=1, max_size=12)


def value(metric: Metric, predictions: list[Prediction]) -> float:
    rows = metric.statistics(predictions)
    assert rows is not None
    return float(metric.score(rows.sum(0)))


def values(metrics: tuple[Metric, ...], said: list[Any]) -> dict[str, float]:
    made = [one if isinstance(one, Prediction) else Prediction(one) for one in said]
    return {one.name: value(one, made) for one in metrics if one.statistics(made) is not None}


def test_label_metrics_of_a_case_worked_by_hand() -> None:
    # right by said: a: 2 a, 1 b · b: 1 a, 3 b · c: 1 nothing
    gold = ["a", "a", "a", "b", "b", "b", "b", "c"]
    found = values(label_metrics(gold, ["a", "b", "c"]), ["a", "a", "b", "a", "b", "b", "b", None])
    assert found["accuracy"] == 5 / 8
    f1_a, f1_b = 2 * 2 / (3 + 3), 2 * 3 / (4 + 4)
    assert found["macro_f1"] == pytest.approx((f1_a + f1_b + 0) / 3)
    above = 5 * 8 - (3 * 3 + 4 * 4)
    below = math.sqrt((64 - 9 - 16 - 1) * (64 - 9 - 16 - 1))
    assert found["mcc"] == pytest.approx(above / below)


def test_a_label_that_no_example_has_does_not_spoil_a_perfect_macro_f1() -> None:
    gold = ["positive", "negative", "positive"]
    metrics = label_metrics(gold, ["positive", "neutral", "negative"])
    assert values(metrics, gold)["macro_f1"] == 1
    # Saying it costs the recall of the label that was right.
    assert values(metrics, ["positive", "neutral", "positive"])["macro_f1"] == 0.5


def test_many_labels_take_memory_by_label_and_not_by_pairs_of_labels() -> None:
    labels = [f"intent {number}" for number in range(150)]
    rows = label_metrics(labels, labels)[0].statistics([Prediction(label) for label in labels])
    assert rows is not None
    assert rows.shape == (150, 3 * 150)


def test_two_class_mcc_is_the_usual_formula() -> None:
    gold, said = list("pppppnnnn"), list("pppnnnnnp")
    tp, fn, tn, fp = 3, 2, 3, 1
    usual = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert values(label_metrics(gold, ["p", "n"]), said)["mcc"] == pytest.approx(usual)


@pytest.mark.parametrize("said", ["a", "b"])
def test_one_label_for_everything_has_no_correlation(said: str) -> None:
    assert values(label_metrics(["a", "b", "a"], ["a", "b"]), [said] * 3)["mcc"] == 0


def test_calibration_error_worked_by_hand() -> None:
    gold = ["a", "a", "b", "a"]
    made = [Prediction("a", 0.95), Prediction("b", 0.92), Prediction("b", 0.55), Prediction("a", 1.0)]
    rows = calibration_rows(gold, made)
    assert rows is not None
    # The bin of 0.9 to 1 has three, of which two are right; that of 0.5 to 0.6 has one, which is.
    expected = (abs(0.95 + 0.92 + 1.0 - 2) + abs(0.55 - 1)) / 4
    assert float(calibration_error(rows.sum(0))) == pytest.approx(expected)


def test_answers_without_probabilities_have_no_calibration_error_and_failed_ones_no_bin() -> None:
    assert calibration_rows(["a"], [Prediction("a")]) is None
    rows = calibration_rows(["a", "a"], [Prediction("a", 0.5), Prediction(None)])
    assert rows is not None
    assert rows[1].sum() == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=5))
def test_span_f1_is_that_of_nervaluates_strict_mode(pairs: list[tuple[list[Any], list[Any]]]) -> None:

    def plain(spans: list[Any]) -> list[dict[str, Any]]:
        return [{"label": kind, "start": start, "end": end} for start, end, kind in spans]

    gold, said = [plain(have) for have, _ in pairs], [plain(made) for _, made in pairs]
    theirs = Evaluator(gold, said, ["person", "place"], loader="dict").evaluate()["overall"]["strict"]
    metrics = set_metrics(
        "span", "strict", [frozenset(have) for have, _ in pairs], lambda one: frozenset(one.value or ())
    )
    ours = values(metrics, [made for _, made in pairs])
    assert ours["span_precision"] == pytest.approx(theirs.precision)
    assert ours["span_recall"] == pytest.approx(theirs.recall)
    assert ours["span_f1"] == pytest.approx(theirs.f1)


@settings(deadline=None, max_examples=60)
@given(WORDS, WORDS)
def test_rouge_of_english_is_that_of_the_rouge_package(said: list[str], reference: list[str]) -> None:

    theirs = Rouge(exclusive=False).get_scores(" ".join(said), " ".join(reference))[0]
    for n, name in ((1, "rouge-1"), (2, "rouge-2"), (0, "rouge-l")):
        assert rouge(said, reference, n) == pytest.approx(theirs[name]["f"], abs=1e-6), name


def test_equal_chinese_summaries_score_one_and_words_are_characters() -> None:
    assert tokens("GPU价格上涨了10%。") == ["gpu", "价", "格", "上", "涨", "了", "10"]
    assert values(rouge_metrics(["洪水淹没老城区"]), ["洪水淹没老城区。"]) == {
        "rouge_l": 1.0,
        "rouge_1": 1.0,
        "rouge_2": 1.0,
    }


def test_rouge_of_nothing_is_nothing() -> None:
    assert set(values(rouge_metrics(["a b", "..."]), [None, "..."]).values()) == {0.0}


@pytest.mark.parametrize(
    ("target", "tokenizer", "references", "said"),
    [
        (
            "zh",
            "zh",
            ["大米的价格又涨了。", "会议改到了星期五。"],
            ["大米价格又上涨了。", "会议改在星期五下午。"],
        ),
        (
            "en",
            "13a",
            ["The price has risen again.", "Thank you."],
            ["The price rose again.", "Thanks to you."],
        ),
    ],
)
def test_translation_metrics_are_sacrebleus_own(
    target: str, tokenizer: str, references: list[str], said: list[str]
) -> None:

    metrics = translation_metrics(references, [target] * 2)
    found = values(metrics, said)
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(said, [references]).score)
    assert found["bleu"] == pytest.approx(BLEU(tokenize=tokenizer).corpus_score(said, [references]).score)
    assert f"tok:{tokenizer}" in metrics[1].definition
    draws = np.stack([metrics[1].statistics([Prediction(one) for one in said]).sum(0)] * 3)  # type: ignore[union-attr]  # it has statistics
    assert metrics[1].score(draws).shape == (3,)


@pytest.mark.parametrize(
    "target", ["zh", "zh_CN", "ZH-Hant", "Simplified Chinese", "简体中文", "普通话", "cmn"]
)
def test_bleu_cuts_chinese_at_characters_whatever_it_is_called(target: str) -> None:
    assert "tok:zh" in translation_metrics(["大米"], [target])[1].definition
    assert "tok:13a" in translation_metrics(["大米"], ["Zhuang"])[1].definition


def test_ndcg_and_recall_worked_by_hand() -> None:
    grades = {4: 3, 7: 1, 9: 2}
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg([7, 1, 4], grades) == pytest.approx((1 + 3 / 2) / best)
    assert recall([7, 1, 4], grades, 2) == 1 / 2  # two places, so two could have been found
    found = values(ranking_metrics([grades, {0: 1}]), [[4, 9, 7], None])
    assert found["ndcg_at_10"] == 0.5
    assert found["recall_at_1"] == 0.5


def test_a_model_that_tells_no_document_apart_gains_nothing_by_their_order() -> None:
    documents = [f"text {number}" for number in range(200)]
    assert sorted(_best([0.5] * 200, documents)) != list(range(10))
    assert _best([0.1, 0.9, 0.5], documents[:3]) == [1, 2, 0]
