"""Real calls of a real engine, explained: by the SDK, on the command line, and in the head of the reply."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider

from e2e.live_gateway import ADMIN_KEY, CHAT, EMBEDDING, lmaas_command
from gateway.processes import until
from lmaas import LMaaS, NotFoundError

if TYPE_CHECKING:
    from e2e.live_gateway import LiveGateway
    from support.collecting import Collector

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

# More than a block of the CPU engine's prefix cache, which holds 128 tokens.
LONG = "The river runs from the mountains to the sea, past mills and meadows. " * 24
MESSAGES = [{"role": "user", "content": LONG + "Say one word."}]


def test_stream_of_the_real_engine_is_explained_with_its_own_times(gateway: LiveGateway) -> None:
    names = [f"explained-{turn}-{uuid.uuid4().hex}" for turn in range(2)]
    with LMaaS(base_url=gateway.base_url, admin_key=ADMIN_KEY, max_retries=0) as client:
        for name in names:
            with client.chat.completions.create(
                model=CHAT,
                messages=MESSAGES,
                max_tokens=8,
                stream=True,
                extra_body={"ignore_eos": True},
                extra_headers={"x-request-id": name},
            ) as stream:
                assert list(stream)
        first, again = [client.calls.explain(name) for name in names]
        assert {call.id for call in client.calls.list(model=CHAT, limit=100)} >= set(names)
        with pytest.raises(NotFoundError):
            client.calls.explain("of-nobody")
    assert (first.model, first.outcome, first.completion_tokens) == (CHAT, "ok", 8)
    assert first.engine is not None
    assert first.engine.source == "engine"
    assert 0 < (first.engine.prefill_s or 0) < first.duration_s
    assert 0 < (first.engine.decode_s or 0) < first.duration_s
    assert again.cached_tokens >= 128
    assert again.prompt_tokens == first.prompt_tokens
    (prefill,) = (step.text for step in again.steps if step.name == "prefill")
    assert f"{again.cached_tokens} were in its prefix cache" in prefill
    head, kept = (step.text for step in again.steps if step.name == "masking")
    assert "was sent no key, cookie or address" in head
    assert kept.startswith("Its reply, once whole, was stored"), "the SDK sends an Idempotency-Key"


def test_plain_reply_has_its_times_in_its_head_and_on_the_command_line(gateway: LiveGateway) -> None:
    name = f"explained-{uuid.uuid4().hex}"
    body = {"model": CHAT, "messages": MESSAGES, "max_tokens": 4}
    reply = httpx.post(
        f"{gateway.base_url}/chat/completions", json=body, headers={"x-request-id": name}, timeout=120
    )
    assert reply.status_code == 200
    assert re.fullmatch(r"route;dur=[\d.]+, upstream;dur=[\d.]+", reply.headers["server-timing"])
    told = subprocess.run(
        [lmaas_command(), "explain", name],
        env={**os.environ, "LMAAS_BASE_URL": gateway.base_url, "LMAAS_ADMIN_KEY": ADMIN_KEY},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told.startswith(f"{name}: ok after ")
    assert re.search(r"^prefill +\d.* engine +\d+ of \d+ prompt tokens were read", told, re.MULTILINE)
    assert re.search(r"^decode +\d.* engine +The reply was written: 4 tokens", told, re.MULTILINE)


def test_call_is_one_trace_from_its_client_through_the_gateway_into_vllm(
    gateway: LiveGateway, collector: Collector
) -> None:
    provider = TracerProvider()
    with (
        LMaaS(base_url=gateway.base_url, max_retries=0, telemetry=provider) as client,
        provider.get_tracer("test").start_as_current_span("outermost") as outermost,
    ):
        reply = client.chat.completions.create(model=CHAT, messages=MESSAGES, max_tokens=4)
        client.embeddings.create(model=EMBEDDING, input="the river")
    trace = f"{outermost.get_span_context().trace_id:032x}"

    def spans() -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for span in collector.all_spans():
            if span["trace"] == trace:
                found.setdefault(span["name"], []).append(span)
        return found

    until(lambda: len(spans().get("llm_request", ())) == 2 and f"embeddings {EMBEDDING}" in spans())
    of_trace = spans()
    asked = [of_trace[name][0] for name in (f"chat {CHAT}", f"embeddings {EMBEDDING}")]
    by_engine = {span["parent"]: span for span in of_trace["llm_request"]}
    assert by_engine.keys() == {span["id"] for span in asked}
    chat, served = by_engine[asked[0]["id"]], of_trace["POST /v1/chat/completions"][0]
    assert asked[0]["parent"] == served["id"]
    assert served["parent"] != f"{outermost.get_span_context().span_id:016x}", "the SDK's own is between"
    assert (chat["resource service.name"], asked[0]["resource service.name"]) == ("vllm", "lmaas-gateway")
    assert reply.usage is not None
    assert chat["gen_ai.usage.prompt_tokens"] == reply.usage.prompt_tokens
    assert chat["gen_ai.latency.time_in_model_prefill"] > 0
