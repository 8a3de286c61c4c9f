from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway
from lmaas import AsyncLMaaS

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

STREAMS = 32


@dataclass
class Heard:
    """What one stream said."""

    ids: set[str] = field(default_factory=set)
    text: str = ""
    finish_reasons: list[str] = field(default_factory=list)
    completion_tokens: int = 0


async def say(client: AsyncLMaaS, words: str, request_id: str) -> Heard:
    """Stream an answer that can only be `words`."""
    heard = Heard()
    stream = await client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": f"Repeat: {words}"}],
        structured_outputs={"choice": [words]},
        max_tokens=64,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"x-request-id": request_id},
    )
    async with stream:
        async for chunk in stream:
            heard.ids.add(chunk.id)
            heard.completion_tokens = chunk.usage.completion_tokens or 0 if chunk.usage else 0
            for choice in chunk.choices:
                heard.text += choice.delta.content or ""
                heard.finish_reasons += [choice.finish_reason] if choice.finish_reason else []
    return heard


def words_of(number: int) -> str:
    return f"stream {number:02d} of {STREAMS} says that its square is {number * number}"


async def peak_of_running(gateway: LiveGateway, peak: list[float]) -> None:
    """Keep the highest number of calls that vLLM was running at once."""
    while True:
        running = await asyncio.to_thread(gateway.engine_metric, CHAT, "vllm:num_requests_running")
        peak[0] = max(peak[0], running)
        await asyncio.sleep(0.1)


async def test_32_streams_at_once_are_each_whole_and_not_mixed_up(gateway: LiveGateway) -> None:
    peak = [0.0]
    watching = asyncio.create_task(peak_of_running(gateway, peak))
    async with AsyncLMaaS(base_url=gateway.base_url, max_retries=0) as client:
        heard = await asyncio.gather(
            *(say(client, words_of(number), f"e2e-stream-{number}") for number in range(STREAMS))
        )
    watching.cancel()
    assert [one.text for one in heard] == [words_of(number) for number in range(STREAMS)]
    assert all(one.finish_reasons == ["stop"] for one in heard)
    assert all(len(one.ids) == 1 for one in heard)
    assert len({id_ for one in heard for id_ in one.ids}) == STREAMS
    assert peak[0] > STREAMS / 2, "they were to run side by side"
    lines = [gateway.log_line(f"e2e-stream-{number}") for number in range(STREAMS)]
    assert [line["completion_tokens"] for line in lines] == [one.completion_tokens for one in heard]


async def test_calls_that_share_a_request_id_do_not_share_an_answer(gateway: LiveGateway) -> None:
    async with AsyncLMaaS(base_url=gateway.base_url, max_retries=0) as client:
        heard = await asyncio.gather(*(say(client, words_of(number), "e2e-shared") for number in range(4)))
    assert [one.text for one in heard] == [words_of(number) for number in range(4)]


async def test_embeddings_go_on_while_chats_stream(gateway: LiveGateway) -> None:
    async with AsyncLMaaS(base_url=gateway.base_url, max_retries=0) as client:
        texts = [f"text number {number}" for number in range(16)]
        alone = (await client.embeddings.create(model=EMBEDDING, input=texts)).data
        said = asyncio.gather(*(say(client, words_of(number), f"e2e-beside-{number}") for number in range(4)))
        beside = await asyncio.gather(
            *(client.embeddings.create(model=EMBEDDING, input=text) for text in texts)
        )
        assert [one.text for one in await said] == [words_of(number) for number in range(4)]
    for one, reply in zip(alone, beside, strict=True):
        assert reply.data[0].embedding == pytest.approx(one.embedding, abs=1e-5)


async def test_request_ids_of_the_gateway_are_all_different(gateway: LiveGateway) -> None:
    async with httpx.AsyncClient() as http:
        replies = await asyncio.gather(
            *(
                http.post(f"{gateway.base_url}/embeddings", json={"model": EMBEDDING, "input": "x"})
                for _ in range(16)
            )
        )
    assert len({reply.headers["x-request-id"] for reply in replies}) == 16
