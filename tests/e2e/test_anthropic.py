from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic
import httpx
import pytest

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic.types import MessageParam

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

QUESTION: list[MessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
# The client has no parameter for it any more; the API has.
GREEDY = {"temperature": 0}


@pytest.fixture
def official(gateway: LiveGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="none", max_retries=0) as one:
        yield one


def test_message(official: anthropic.Anthropic) -> None:
    reply = official.messages.create(model=CHAT, messages=QUESTION, max_tokens=16, extra_body=GREEDY)
    block = reply.content[0]
    assert block.type == "text"
    assert "Paris" in block.text
    assert reply.stop_reason == "end_turn"
    assert reply.usage.output_tokens > 0


def test_stream_ends_with_the_whole_message(official: anthropic.Anthropic) -> None:
    with official.messages.stream(model=CHAT, messages=QUESTION, max_tokens=16, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "Paris" in text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


def test_stream_is_counted_as_the_client_sees_it(gateway: LiveGateway, official: anthropic.Anthropic) -> None:
    with official.messages.stream(
        model=CHAT,
        messages=QUESTION,
        max_tokens=16,
        extra_body=GREEDY,
        extra_headers={"x-request-id": "e2e-anthropic"},
    ) as stream:
        final = stream.get_final_message()
    line = gateway.log_line("e2e-anthropic")
    assert line["prompt_tokens"] == final.usage.input_tokens
    assert line["completion_tokens"] == final.usage.output_tokens


def test_errors_have_anthropics_shape(gateway: LiveGateway, official: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        official.messages.create(model="nobody", messages=QUESTION, max_tokens=4)
    assert missing.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as refused:
        official.messages.create(model=EMBEDDING, messages=QUESTION, max_tokens=4)
    assert refused.value.type == "invalid_request_error"
    broken = httpx.post(f"{gateway.base_url}/messages", content=b"{")
    assert broken.status_code == 400
    body = broken.json()
    assert body["type"] == "error"
    assert body["error"].keys() == {"type", "message"}
    assert body["request_id"] == broken.headers["x-request-id"]
