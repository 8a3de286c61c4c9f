"""Evaluations on the real engine, and the code blocks of docs/evaluating.md as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.doc_blocks import blocks_of, run_block
from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway
from lmaas import AsyncLMaaS, LMaaS
from lmaas.evaluation import Dataset, evaluate, evaluate_async

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

BLOCKS = blocks_of("evaluating.md")


def test_vectors_of_minilm_beat_common_words_on_paraphrases(client: LMaaS) -> None:
    report = evaluate("retrieval", "en", [EMBEDDING], client=client, draws=500)
    baseline, model = report.rows
    assert model.scores["recall_at_10"].value >= 0.9
    assert model.scores["ndcg_at_10"].value > baseline.scores["ndcg_at_10"].value
    assert model.parse_failure_rate == model.call_failure_rate == 0
    assert model.prompt_tokens > 0


async def test_a_small_chat_model_is_judged_beside_the_majority(gateway: LiveGateway) -> None:
    dataset = Dataset.of(
        "sentiment", [one.model_dump() for one in Dataset.bundled("sentiment").examples[::4]]
    )
    async with AsyncLMaaS(base_url=gateway.base_url) as client:
        report = await evaluate_async("sentiment", dataset, [CHAT], client=client, draws=500)
    (model,) = report.candidates
    assert model.call_failure_rate == model.parse_failure_rate == 0
    assert {"macro_f1", "accuracy", "mcc", "ece"} == set(model.scores)
    assert all(one.prediction.confidence for one in model.outcomes)


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=lambda part: part.split("\n")[0][:30])
def test_block_of_the_page_runs_when_pasted(
    gateway: LiveGateway, tmp_path: Path, language: str, code: str
) -> None:
    assert run_block(language, code, base_url=gateway.base_url, folder=tmp_path)
