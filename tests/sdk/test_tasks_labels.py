from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.tasks._labels import (
    MAX_SCORED_TOKENS,
    corrected,
    label_logprobs,
    next_tokens,
    normalized,
    questions,
)

LOGPROBS = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(-500, 0), min_size=2, max_size=6)


def test_trie_asks_at_each_place_where_labels_go_on() -> None:
    assert next_tokens([(1, 2), (1, 3), (4,)]) == {(): [1, 4], (1,): [2, 3]}


def test_one_question_covers_a_small_trie() -> None:
    (question,) = questions(next_tokens([(1, 2), (1, 3), (4,)]))
    assert question.paths == ((), (1,))
    assert question.tokens == (1, 2, 3, 4)


def test_many_labels_are_asked_in_blocks_that_the_engine_takes() -> None:
    trie = next_tokens([(token, 9) for token in range(300)])
    asked = questions(trie)
    assert max(len(question.tokens) for question in asked) <= MAX_SCORED_TOKENS
    covered = {(path, token) for question in asked for path in question.paths for token in question.tokens}
    assert covered >= {(path, token) for path, tokens in trie.items() for token in tokens}


def test_label_is_worth_the_sum_of_its_tokens() -> None:
    scores = label_logprobs({"a": (1, 2), "b": (3,)}, {((), 1): -1.0, ((1,), 2): -0.5, ((), 3): -4.0})
    assert scores == {"a": -1.5, "b": -4.0}


@given(LOGPROBS)
def test_probabilities_add_up_and_keep_the_order_and_the_ratios(logprobs: dict[str, float]) -> None:
    shares = normalized(logprobs)
    assert math.fsum(shares.values()) == pytest.approx(1)
    likely = {label: value for label, value in logprobs.items() if shares[label] > 1e-200}
    for (a, of_a), (b, of_b) in itertools.permutations(likely.items(), 2):
        assert math.log(shares[a] / shares[b]) == pytest.approx(of_a - of_b, abs=1e-6)


def test_impossible_labels_are_all_as_likely() -> None:
    assert normalized({"a": -math.inf, "b": -math.inf}) == {"a": 0.5, "b": 0.5}


def test_prior_is_divided_out() -> None:
    logprobs = {"a": math.log(0.6), "b": math.log(0.2)}
    assert corrected(logprobs, {"a": 0.75, "b": 0.25}) == pytest.approx({"a": 0.5, "b": 0.5})
