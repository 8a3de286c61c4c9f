"""A real engine at its bounds: a queue that goes by priority, a text beyond its context."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from e2e.live_gateway import CHAT, LiveGateway, running_gateway
from gateway.processes import until
from lmaas import AsyncLMaaS, LMaaS
from lmaas.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


CONTEXT_TOKENS = 1024


@pytest.fixture(scope="module")
def small(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway whose engine schedules by priority, one call at a time, so that its own queue decides.

    Its context is short: to read the model's whole one takes a CPU more than a minute.
    """
    folder: Path = tmp_path_factory.mktemp("small")
    model = {
        "name": CHAT,
        "model": CHAT,
        "priority_scheduling": True,
        "max_model_len": CONTEXT_TOKENS,
        "engine_args": ["--max-num-seqs", "1"],
    }
    config = folder / "lmaas.yaml"
    config.write_text(json.dumps({"models": [model]}))
    with running_gateway(folder, engine_python, ["--config", str(config)]) as live:
        yield live


async def test_urgent_call_overtakes_those_that_wait_in_the_engine(small: LiveGateway) -> None:
    finished: list[str] = []

    async with AsyncLMaaS(base_url=small.base_url, max_retries=0) as client:

        async def ask(priority: str, tokens: int = 4) -> None:
            await client.chat.completions.create(
                model=CHAT,
                messages=[{"role": "user", "content": "Count."}],
                max_tokens=tokens,
                extra_body={"ignore_eos": True},
                extra_headers={"x-lmaas-priority": priority},
            )
            finished.append(priority)

        async def are_waiting(count: int) -> None:
            await asyncio.to_thread(
                until, lambda: small.engine_metric(CHAT, "vllm:num_requests_waiting") == count
            )

        first = asyncio.create_task(ask("normal", tokens=128))
        await asyncio.to_thread(until, lambda: small.engine_metric(CHAT, "vllm:num_requests_running") == 1)
        low = [asyncio.create_task(ask("low")) for _ in range(4)]
        await are_waiting(4)
        urgent = asyncio.create_task(ask("normal"))
        await are_waiting(5)
        await asyncio.gather(first, urgent, *low)
    assert finished == ["normal", "normal", "low", "low", "low", "low"]


def test_text_beyond_the_context_is_summarised(small: LiveGateway) -> None:
    text = "The river rose in the night. Many streets were flooded. Nobody was hurt. " * 90
    with LMaaS(base_url=small.base_url, max_retries=0) as client:
        found = Tasks(client, model=CHAT).summarize(text, max_tokens=24, max_words=20)
    assert found.rounds >= 1
    assert sum(reply.usage.prompt_tokens for reply in found.completions if reply.usage) > CONTEXT_TOKENS
