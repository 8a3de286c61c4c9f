"""Vectors of texts: asked for in batches, compared with the standard library."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, TypeAlias

from lmaas.tasks._errors import TaskInputError, TaskOutputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Call, Plan, context_tokens, embedded, tokenized

BATCH: Final = 64
_SPECIAL_TOKENS: Final = 8
"""At most so many tokens begin and end a text."""

Vector: TypeAlias = "array[float]"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors in the order of the texts, and which texts were read only in part."""

    vectors: tuple[Vector, ...]
    truncated: tuple[int, ...]


def embed(job: Job, texts: Sequence[str]) -> Plan[Embedded]:
    """Plan the vectors of texts. A text longer than the model's context is cut at its end, and named.

    Raises:
        TaskInputError: there is no text, or an empty one.
    """
    if isinstance(texts, str) or not texts or not all(text.strip() for text in texts):
        raise TaskInputError("give one or more texts, none of them empty.")
    truncated = yield from _truncated(job, texts)
    calls = [_call(job, texts[at : at + BATCH], cuts=bool(truncated)) for at in range(0, len(texts), BATCH)]
    vectors: list[Vector] = []
    for call, reply in zip(calls, (yield from embedded(calls)), strict=True):
        rows = sorted(reply.data, key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(call.body["input"]))):
            raise TaskOutputError("The server did not give one vector for each text.")
        vectors += [_unit(row.embedding) for row in rows]
    return Embedded(tuple(vectors), truncated)


def dot(a: Vector, b: Vector) -> float:
    """Return the cosine of the angle between two unit vectors, from -1 to 1."""
    return max(-1.0, min(1.0, float(sum(map(mul, a, b)))))


def _call(job: Job, texts: Sequence[str], *, cuts: bool) -> Call:
    body: dict[str, object] = {"model": job.model, "input": list(texts)}
    if cuts:
        body["truncate_prompt_tokens"] = -1
    return Call("embeddings", body, job.options)


def _truncated(job: Job, texts: Sequence[str]) -> Plan[tuple[int, ...]]:
    """Return the indexes of texts with more tokens than the context has.

    A token has at least one byte of UTF-8, so only texts with many bytes need to be counted.
    """
    sizes = [len(text.encode()) for text in texts]
    longest = max(range(len(texts)), key=sizes.__getitem__)
    (first,) = yield from tokenized([_count(job, texts[longest])])
    context = context_tokens(first)
    suspects = [index for index, size in enumerate(sizes) if size + _SPECIAL_TOKENS > context]
    counts = yield from tokenized([_count(job, texts[index]) for index in suspects])
    return tuple(index for index, tokens in zip(suspects, counts, strict=True) if tokens.count > context)


def _count(job: Job, text: str) -> Call:
    return job.tokens(prompt=text)


def _unit(numbers: Sequence[float]) -> Vector:
    norm = math.sqrt(sum(number * number for number in numbers))
    return array("f", (number / norm for number in numbers)) if norm else array("f", numbers)
