"""What the gateway serves is what transformers computes from the same weights."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from lmaas_gateway.replicas import catalog
from lmaas_gateway.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CHAT, EMBEDDING = "smollm2-135m-instruct", "all-minilm-l6-v2"
MAX_TOKENS = 24
NEAR_TIE_LOGITS = 0.01
"""float32 sums in another order differ by about 1e-4 in these logits; a wrong weight by whole units."""

TEXTS = (
    "A cat sits on the mat.",
    "The quick brown fox jumps over the lazy dog",
    "人工智能正在改变世界。",
    "你好",
    "Größe, naïveté, señor — accents and dashes",
    "def add(a, b):\n    return a + b",
    "3.14159 2024-05-01 $1,234.56",
    "long text " * 100,
)
PROMPTS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write one sentence about the sea.",
    "What is 2 + 2?",
    "Translate 'good morning' into Spanish.",
    "Who wrote Romeo and Juliet?",
    "List the days of the week.",
    "What do bees make?",
    "Explain gravity to a child.",
    "Give me a synonym of 'happy'.",
    "How many legs does a spider have?",
    "Write a haiku about autumn.",
    "What is the boiling point of water?",
    "Say hello in French.",
    "Why is the sky blue?",
    "Write a Python function that adds two numbers.",
    "What is the opposite of 'cold'?",
    "Name an animal that lives in the desert.",
    "请用中文说你好。",
    "Continue: one, two, three,",
)


def folder_of(name: str, engine_python: str) -> str:
    """The prepared model that the gateway serves; it is in the cache by now."""
    cache_dir = load_settings().cache_dir or catalog.default_cache_dir(os.environ)
    prepared = catalog.prepare(
        catalog.resolve(name), cache_dir=cache_dir, engine_python=engine_python, progress=lambda *_: None
    )
    return prepared.path_or_id


class Reference:
    """transformers in a process of its own: it loads once, for many seconds, while the engine answers."""

    def __init__(self, engine_python: str, errors: Path) -> None:
        self._engine_python = engine_python
        self._errors = errors
        with errors.open("wb") as err:
            self._process = subprocess.Popen(
                [engine_python, "-P", str(Path(__file__).with_name("reference.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
            )

    def ask(self, task: str, model: str, question: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([task, folder_of(model, self._engine_python), question]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._errors.read_text("utf-8")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._process:
            self._process.kill()


@pytest.fixture(scope="module")
def reference(
    gateway: LiveGateway, engine_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reference]:
    """After the gateway, which has prepared the models."""
    del gateway
    with Reference(engine_python, tmp_path_factory.mktemp("reference") / "errors") as one:
        yield one


def ask(gateway: LiveGateway, route: str, body: object) -> Any:
    reply = httpx.post(f"{gateway.base_url}/{route}", json=body, timeout=120)
    assert reply.status_code == 200, reply.text
    return reply.json()


def cosine(left: list[float], right: list[float]) -> float:
    product = sum(a * b for a, b in zip(left, right, strict=True))
    return product / math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))


def test_embeddings_are_those_of_transformers(gateway: LiveGateway, reference: Reference) -> None:
    served = ask(gateway, "embeddings", {"model": EMBEDDING, "input": TEXTS})["data"]
    expected = reference.ask("embeddings", EMBEDDING, TEXTS)
    assert [len(item["embedding"]) for item in served] == [384] * len(TEXTS)
    for item, vector in zip(served, expected, strict=True):
        assert cosine(item["embedding"], vector) >= 0.999, TEXTS[item["index"]]
        assert math.hypot(*item["embedding"]) == pytest.approx(1, abs=1e-3)
    # Texts that mean different things are told apart, so the comparison can fail.
    assert cosine(served[0]["embedding"], expected[5]) < 0.5


def answer(gateway: LiveGateway, prompt: str) -> dict[str, list[int]]:
    body = {
        "model": CHAT,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "return_token_ids": True,
    }
    reply = ask(gateway, "chat/completions", body)
    return {"prompt": reply["prompt_token_ids"], "continuation": reply["choices"][0]["token_ids"]}


def fork_of(ours: dict[str, list[int]], theirs: dict[str, list[int]]) -> dict[str, Any] | None:
    """Where two continuations part, and with which tokens; None if they do not."""
    pairs = list(zip(ours["continuation"], theirs["continuation"], strict=False))
    for place, (mine, other) in enumerate(pairs):
        if mine != other:
            return {
                "token_ids": theirs["prompt"] + theirs["continuation"][:place],
                "ours": mine,
                "theirs": other,
            }
    assert len(ours["continuation"]) == len(theirs["continuation"])
    return None


def test_greedy_text_is_that_of_transformers(gateway: LiveGateway, reference: Reference) -> None:
    with ThreadPoolExecutor(10) as pool:
        served = list(pool.map(partial(answer, gateway), PROMPTS))
    expected = reference.ask("generate", CHAT, {"prompts": PROMPTS, "max_tokens": MAX_TOKENS})
    # Equal prompts show that tokenizer and chat template are right too.
    assert [ours["prompt"] for ours in served] == [theirs["prompt"] for theirs in expected]
    forks = [
        fork
        for ours, theirs in zip(served, expected, strict=True)
        if (fork := fork_of(ours, theirs)) is not None
    ]
    gaps = reference.ask("gaps", CHAT, forks) if forks else []
    sys.stdout.write(
        f"{len(PROMPTS) - len(forks)} of {len(PROMPTS)} texts are equal; logit gaps of others: {gaps}\n"
    )
    assert all(gap < NEAR_TIE_LOGITS for gap in gaps), f"logit gaps where the texts part: {gaps}"
    assert len(forks) <= 2, f"{len(forks)} of {len(PROMPTS)} texts differ; logit gaps: {gaps}"
