from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass

import pytest

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway
from gateway.processes import until
from lmaas import AsyncLMaaS, BadRequestError, LMaaS, ModelNotFoundError

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def test_chat_answers_in_words(client: LMaaS) -> None:
    reply = client.chat.completions.create(model=CHAT, messages=QUESTION, max_tokens=16, temperature=0)
    choice = reply.choices[0]
    assert "Paris" in str(choice.message.content)
    assert choice.finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + (reply.usage.completion_tokens or 0)


def test_stream_says_the_same_as_the_whole_reply_token_by_token(client: LMaaS) -> None:
    whole = client.chat.completions.create(model=CHAT, messages=QUESTION, max_tokens=16, temperature=0)
    with client.chat.completions.create(
        model=CHAT, messages=QUESTION, max_tokens=16, temperature=0, stream=True
    ) as stream:
        chunks = list(stream)
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 3
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


def test_completion_continues_a_prompt(client: LMaaS) -> None:
    reply = client.completions.create(model=CHAT, prompt="One, two, three,", max_tokens=4, temperature=0)
    assert reply.choices[0].text.strip()
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 4


def test_embeddings_have_384_dimensions_and_length_one(client: LMaaS) -> None:
    reply = client.embeddings.create(model=EMBEDDING, input=["a cat", "a kitten", "tax law"])
    cat, kitten, tax = (item.embedding for item in reply.data)
    assert [len(vector) for vector in (cat, kitten, tax)] == [384, 384, 384]
    assert _dot(cat, cat) == pytest.approx(1, abs=1e-4)
    assert _dot(cat, kitten) > _dot(cat, tax) + 0.3


def test_float_and_base64_embeddings_are_the_same_numbers(client: LMaaS) -> None:
    floats = (
        client.embeddings.create(model=EMBEDDING, input="a cat", encoding_format="float").data[0].embedding
    )
    decoded = client.embeddings.create(model=EMBEDDING, input="a cat").data[0].embedding
    encoded = (
        client.embeddings.create(model=EMBEDDING, input="a cat", encoding_format="base64").data[0].embedding
    )
    assert decoded == pytest.approx(floats, abs=1e-6)
    assert len(b64decode(encoded)) == 384 * 4


def test_models_tell_kind_context_and_owner(client: LMaaS) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert list(listed) == [CHAT, EMBEDDING]
    assert [model.max_model_len for model in listed.values()] == [8192, 256]
    one = client.models.retrieve(CHAT)
    assert one.owned_by
    assert (one.model_extra or {})["kind"] == "chat"


def test_snippet_of_the_greeting_runs_when_pasted(gateway: LiveGateway) -> None:
    said = gateway.stderr.read_text("utf-8")
    snippet = said[said.index("from lmaas import") :].partition("\n\n")[0]
    done = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, check=True, timeout=60
    )
    answer, dimensions = done.stdout.splitlines()
    assert "Paris" in answer
    assert dimensions == "384"


async def test_async_client_chats_streams_and_embeds(gateway: LiveGateway) -> None:
    async with AsyncLMaaS(base_url=gateway.base_url, max_retries=0) as client:
        whole = await client.chat.completions.create(
            model=CHAT, messages=QUESTION, max_tokens=16, temperature=0
        )
        text = ""
        stream = await client.chat.completions.create(
            model=CHAT, messages=QUESTION, max_tokens=16, temperature=0, stream=True
        )
        async with stream:
            async for chunk in stream:
                text += "".join(choice.delta.content or "" for choice in chunk.choices)
        vector = (await client.embeddings.create(model=EMBEDDING, input="a cat")).data[0].embedding
        names = [model.id for model in await client.models.list()]
    assert text == whole.choices[0].message.content
    assert len(vector) == 384
    assert names == [CHAT, EMBEDDING]


def test_unknown_model_is_a_404_that_lists_close_names(client: LMaaS) -> None:
    with pytest.raises(ModelNotFoundError, match=f"Did you mean '{CHAT}'") as caught:
        client.chat.completions.create(model="smollm2-135m", messages=QUESTION)
    assert caught.value.code == "model_not_found"


def test_wrong_kind_is_a_400_that_lists_the_routes_of_the_model(client: LMaaS) -> None:
    with pytest.raises(BadRequestError, match="/v1/embeddings") as caught:
        client.chat.completions.create(model=EMBEDDING, messages=QUESTION)
    assert caught.value.code == "unsupported_route"


def test_too_long_a_prompt_says_so_by_its_code(client: LMaaS) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.embeddings.create(model=EMBEDDING, input="word " * 1000)
    assert caught.value.code == "context_length_exceeded"


def test_request_id_of_the_client_comes_back_and_stands_in_the_log(
    gateway: LiveGateway, client: LMaaS
) -> None:
    reply = client.embeddings.create(
        model=EMBEDDING, input="SECRET-PROMPT", extra_headers={"x-request-id": "e2e-id.1"}
    )
    assert reply.request_id == "e2e-id.1"
    line = gateway.log_line("e2e-id.1")
    assert (line["status"], line["model"], line["outcome"]) == (200, EMBEDDING, "ok")
    assert line["prompt_tokens"] == (reply.usage.prompt_tokens if reply.usage else None)
    assert "SECRET-PROMPT" not in gateway.stdout.read_text("utf-8")


def test_usage_of_streams_is_counted_exactly_as_vllm_counts_it(gateway: LiveGateway, client: LMaaS) -> None:
    before = Counted.of(gateway)
    asked_for = 0
    for wants_usage in (True, False):
        with client.chat.completions.create(
            model=CHAT,
            messages=QUESTION,
            max_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": wants_usage},
        ) as stream:
            usages = [chunk.usage for chunk in stream if chunk.usage]
        assert len(usages) == wants_usage
        asked_for += sum(usage.completion_tokens or 0 for usage in usages)
    until(lambda: Counted.of(gateway).is_as_much_more_as_vllm(before))
    assert Counted.of(gateway).completion - before.completion == 2 * asked_for > 0


@dataclass(frozen=True)
class Counted:
    """Tokens as the gateway counts them, and as vLLM itself does."""

    prompt: float
    completion: float
    vllm_prompt: float
    vllm_completion: float

    @classmethod
    def of(cls, gateway: LiveGateway) -> Counted:
        return cls(
            gateway.metric("lmaas_prompt_tokens_total", model=CHAT),
            gateway.metric("lmaas_completion_tokens_total", model=CHAT),
            gateway.engine_metric(CHAT, "vllm:prompt_tokens_total"),
            gateway.engine_metric(CHAT, "vllm:generation_tokens_total"),
        )

    def is_as_much_more_as_vllm(self, before: Counted) -> bool:
        prompt, completion = self.prompt - before.prompt, self.completion - before.completion
        return (prompt, completion) == (
            self.vllm_prompt - before.vllm_prompt,
            self.vllm_completion - before.vllm_completion,
        )


def _dot(left: list[float], right: list[float]) -> float:
    return sum(x * y for x, y in zip(left, right, strict=True))
