"""Classify, find names, summarise and search, each in one call.

Run: python examples/tasks.py [MODEL]
"""

from __future__ import annotations

import sys
from functools import partial

from lmaas import LMaaS
from lmaas.tasks import Tasks

REPORT = "The river rose in the night. Many streets were flooded. Mayor Ada Brown closed the schools."
REVIEWS = ["I love this phone.", "The battery died after a day.", "It has two buttons."]


def main(model: str = "smollm2-135m-instruct") -> None:
    """Print what each task finds."""
    with LMaaS() as client:
        tasks = Tasks(client, model=model, embedding_model="all-minilm-l6-v2")
        topic = tasks.classify(REPORT, ["weather", "sport", "music"])
        print(topic.label, topic.probabilities)
        for name in tasks.entities(REPORT, ["person", "place"], max_tokens=128).entities:
            print(f"{name.start}-{name.end} {name.type}: {name.text}")
        print(tasks.summarize(REPORT, max_sentences=1).text)
        for hit in tasks.search("high water", [*REVIEWS, REPORT], top_k=1).hits:
            print(f"{hit.score:.2f} {hit.text}")
        for item in tasks.map(partial(tasks.sentiment, calibrate=True), REVIEWS):
            print(item.text, item.get().label)


if __name__ == "__main__":
    main(*sys.argv[1:])
