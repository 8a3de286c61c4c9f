"""The arithmetic of labels: a trie of their tokens, their log-probabilities, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Path: TypeAlias = tuple[int, ...]

MAX_SCORED_TOKENS: Final = 128
"""How many tokens vLLM scores at one place (`logprob_token_ids`)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked at some places of the trie: the log-probabilities of `tokens` after each of `paths`."""

    paths: tuple[Path, ...]
    tokens: tuple[int, ...]


def next_tokens(labels: Iterable[Path]) -> dict[Path, list[int]]:
    """Return which tokens may follow each path of the trie of labels."""
    trie: dict[Path, list[int]] = {}
    for label in labels:
        for depth, token in enumerate(label):
            children = trie.setdefault(label[:depth], [])
            if token not in children:
                children.append(token)
    return trie


def questions(trie: Mapping[Path, Sequence[int]]) -> list[Question]:
    """Return the questions that cover a trie: one for all places, unless that were too many tokens."""
    union = sorted({token for tokens in trie.values() for token in tokens})
    if len(union) <= MAX_SCORED_TOKENS:
        return [Question(tuple(trie), tuple(union))]
    return [
        Question((path,), tuple(tokens[start : start + MAX_SCORED_TOKENS]))
        for path, tokens in trie.items()
        for start in range(0, len(tokens), MAX_SCORED_TOKENS)
    ]


def label_logprobs(
    labels: Mapping[str, Path], logprobs: Mapping[tuple[Path, int], float]
) -> dict[str, float]:
    """Return the log-probability of each label: the sum over its tokens, each after those before it."""
    return {
        label: math.fsum(logprobs[path[:depth], token] for depth, token in enumerate(path))
        for label, path in labels.items()
    }


def normalized(logprobs: Mapping[str, float]) -> dict[str, float]:
    """Return probabilities in the ratios that the log-probabilities give; they add up to 1."""
    top = max(logprobs.values())
    if top == -math.inf:
        return dict.fromkeys(logprobs, 1 / len(logprobs))
    weights = {label: math.exp(value - top) for label, value in logprobs.items()}
    total = math.fsum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def corrected(logprobs: Mapping[str, float], prior: Mapping[str, float]) -> dict[str, float]:
    """Return probabilities with the model's `prior` for each label divided out.

    Source: Zhao et al. 2021, "Calibrate Before Use", contextual calibration with a content-free input.
    """
    return normalized({label: value - math.log(prior[label]) for label, value in logprobs.items()})
