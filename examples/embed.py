"""Find which of some sentences are closest in meaning.

Run: python examples/embed.py [MODEL]
"""

from __future__ import annotations

import math
import sys

from lmaas import LMaaS

SENTENCES = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell today."]


def cosine(a: list[float], b: list[float]) -> float:
    """Return the cosine of the angle between two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def main(model: str = "all-minilm-l6-v2") -> None:
    """Print how long the vectors are and how close each sentence is to the first."""
    with LMaaS() as client:
        reply = client.embeddings.create(model=model, input=SENTENCES)
    vectors = [item.embedding for item in reply.data]
    print(f"{len(vectors[0])} dimensions")
    for sentence, vector in zip(SENTENCES, vectors, strict=True):
        print(f"{cosine(vectors[0], vector):.3f}  {sentence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
