"""rerank, score, classify, tokenize, detokenize: vLLM's routes, through the gateway to the scripted vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lmaas import AsyncLMaaS, LMaaS
from lmaas_gateway.testing import FakeModel, FakeReplica
from support.serving import run_gateway, settings_for

DOCUMENTS = ["a cat sleeps", "tax law", "the cat eats a fish"]


@asynccontextmanager
async def clients(model: FakeModel) -> AsyncIterator[tuple[LMaaS, AsyncLMaaS]]:
    async with (
        FakeReplica(model) as replica,
        run_gateway(settings_for(replica, kind=model.kind)) as running,
    ):
        url = f"http://127.0.0.1:{running.port}"
        with LMaaS(base_url=url, max_retries=0) as client:
            async with AsyncLMaaS(base_url=url, max_retries=0) as twin:
                yield client, twin


async def test_rerank_and_score_order_texts_by_relevance() -> None:
    async with clients(FakeModel("mock", "rerank")) as (client, twin):
        ranked = await asyncio.to_thread(
            lambda: client.rerank.create(model="mock", query="cat fish", documents=DOCUMENTS, top_n=2)
        )
        assert [result.index for result in ranked.results] == [2, 0]
        assert ranked.results[0].relevance_score == 1.0
        assert ranked.results[0].document is not None
        assert ranked.results[0].document.text == DOCUMENTS[2]
        assert ranked.usage is not None
        assert ranked.request_id
        same = await twin.rerank.create(model="mock", query="cat fish", documents=DOCUMENTS, top_n=2)
        assert same.results == ranked.results
        scores = await asyncio.to_thread(
            lambda: client.score.create(model="mock", text_1="cat", text_2=DOCUMENTS)
        )
        assert [one.score for one in scores.data] == [1.0, 0.0, 1.0]
        assert (await twin.score.create(model="mock", text_1="cat", text_2="a cat")).data[0].score == 1.0


async def test_tokens_come_and_go() -> None:
    async with clients(FakeModel("mock")) as (client, twin):
        tokens = await asyncio.to_thread(
            lambda: client.tokenize.create(model="mock", prompt="one two", return_token_strs=True)
        )
        assert (tokens.count, tokens.token_strs, tokens.max_model_len) == (2, ["one", "two"], 2048)
        text = await asyncio.to_thread(lambda: client.detokenize.create(model="mock", tokens=tokens.tokens))
        assert text.prompt == "one two"
        chat = await twin.tokenize.create(model="mock", messages=[{"role": "user", "content": "two one"}])
        assert chat.tokens == tokens.tokens[::-1]
        assert (await twin.detokenize.create(model="mock", tokens=chat.tokens)).prompt == "two one"
        mistake: Any = {"return_tokens_strs": True}
        with pytest.raises(TypeError, match="did you mean 'return_token_strs'"):
            await twin.tokenize.create(model="mock", prompt="x", **mistake)


async def test_classes_have_a_probability_each() -> None:
    async with clients(FakeModel("mock", "classify", labels=("no", "yes"))) as (client, twin):
        classes = await asyncio.to_thread(lambda: client.classify.create(model="mock", input=["a", "b"]))
        assert [one.index for one in classes.data] == [0, 1]
        assert sum(classes.data[0].probs) == pytest.approx(1)
        assert classes.data[0].label in {"no", "yes"}
        assert (await twin.classify.create(model="mock", input=["a", "b"])).data == classes.data
