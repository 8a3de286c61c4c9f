"""The model that a fake replica claims to serve: a name, a kind, and answers made by arithmetic."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmaas_gateway.settings import ModelKind
    from lmaas_gateway.testing.script import Script

CREATED = 1763700000
"""Unix time that every reply names as its creation."""

_DEFAULT_TOKENS = 16


class Vocabulary:
    """A tokenizer with one token per word; ids are given in order of appearance."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def encode(self, words: list[str]) -> list[int]:
        """Return one id a word."""
        return [self._ids.setdefault(word, len(self._ids) + 1) for word in words]

    def decode(self, ids: list[object]) -> str:
        """Return the words of known ids."""
        known = {number: word for word, number in self._ids.items()}
        return " ".join(known.get(number, "<unk>") if isinstance(number, int) else "<unk>" for number in ids)


@dataclass(frozen=True, slots=True)
class FakeModel:
    """What one fake replica serves.

    Attributes:
        name: The served model name.
        kind: Which routes exist; the others are 404 as in vLLM.
        max_model_len: Context length, in tokens.
        dimensions: Length of an embedding.
        labels: Classes of a classifier.
    """

    name: str = "mock"
    kind: ModelKind = "chat"
    max_model_len: int = 2048
    dimensions: int = 384
    labels: tuple[str, ...] = ("negative", "positive")
    vocabulary: Vocabulary = field(default_factory=Vocabulary, compare=False)

    def embedding(self, text: str) -> list[float]:
        """Return a unit vector that depends on `text` alone."""
        source = random.Random(text)  # noqa: S311 - a repeatable vector, no secret
        vector = [source.gauss(0, 1) for _ in range(self.dimensions)]
        norm = math.sqrt(sum(value * value for value in vector))
        return [value / norm for value in vector]

    def similarity(self, query: str, document: str) -> float:
        """Return the share of the query's words that stand in the document, from 0 to 1."""
        words = set(query.lower().split())
        return len(words & set(document.lower().split())) / max(len(words), 1)

    def probabilities(self, text: str) -> list[float]:
        """Return one probability a label; they depend on `text` alone and add up to 1."""
        source = random.Random(text)  # noqa: S311 - repeatable numbers, no secret
        weights = [source.random() + 0.01 for _ in self.labels]
        return [weight / sum(weights) for weight in weights]


@dataclass(frozen=True, slots=True)
class Generation:
    """What one generating call says and counts."""

    request_id: str
    model: str
    prompt_tokens: int
    tokens: int
    words: tuple[str, ...]
    is_cut: bool
    choices: int = 1
    huge_token_bytes: int = 0

    @property
    def completion_tokens(self) -> int:
        """Tokens over all choices."""
        return self.tokens * self.choices

    @property
    def text(self) -> str:
        """The whole text of one choice."""
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """Give the text of each token, in order; blanks come before words, as in real tokenizers."""
        for number, word in enumerate(itertools.islice(itertools.cycle(self.words), self.tokens)):
            blank = " " if number else ""
            yield blank + word if number or not self.huge_token_bytes else "x" * self.huge_token_bytes


def generation(fields: Mapping[str, Any], model: FakeModel, script: Script, request_id: str) -> Generation:
    """Decide what a call of any generating route gets: as many words as it may have, out of its prompt."""
    said = prompt_texts(fields)
    limit = _limit(fields)
    tokens = script.tokens if script.tokens is not None else (limit or _DEFAULT_TOKENS)
    if limit is not None:
        tokens = min(tokens, limit)
    source = script.text if script.text is not None else (said[-1] if said else "")
    return Generation(
        request_id=request_id,
        model=model.name,
        prompt_tokens=max(sum(len(text.split()) for text in said), 1),
        tokens=tokens,
        words=tuple(source.split()) or ("token",),
        is_cut=limit is not None and tokens == limit,
        choices=int(fields.get("n") or 1),
        huge_token_bytes=script.huge_token_bytes,
    )


def _limit(fields: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        if isinstance(value := fields.get(name), int):
            return value
    return None


def prompt_texts(fields: Mapping[str, Any]) -> list[str]:
    """Collect every text of a prompt, whichever route's fields hold it, in order."""
    held = [fields.get(name) for name in ("system", "instructions", "messages", "prompt", "input")]
    return [text for part in held for text in _texts(part)]


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for item in part:
            yield from _texts(item)
    elif isinstance(part, dict):
        yield from _texts(part.get("content", part.get("text")))
