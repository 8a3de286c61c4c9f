from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from lmaas import AsyncLMaaS, ConfigurationError, DefaultAioHttpClient, LMaaS, errors
from sdk.hostile import CHAT_BODY, DONE, Script, answering, chat_event, reply, serving, streaming

USAGE = (
    b'data: {"id":"c","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":4,"completion_tokens":1}}\n\n'
)
STREAM = [chat_event("CANARY"), chat_event(finish="stop"), USAGE, DONE]
MESSAGES = [{"role": "user", "content": "CANARY"}]
Chat: TypeAlias = Callable[..., Any]


class Spans:
    """A tracer provider that keeps its spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def spans() -> Spans:
    return Spans()


def chat_sync(url: str, spans: Spans, *, stream: bool = False) -> None:
    with LMaaS(base_url=url, api_key="CANARY", telemetry=spans.provider) as client:
        answer = client.chat.completions.create(
            model="m", messages=MESSAGES, stream=stream, temperature=0.5, max_tokens=9, n=1
        )
        if stream:
            assert spans.ended == ()
            list(answer)


def chat_async(url: str, spans: Spans, *, stream: bool = False) -> None:
    async def chat() -> None:
        http = DefaultAioHttpClient()
        async with AsyncLMaaS(
            base_url=url, api_key="CANARY", telemetry=spans.provider, http_client=http
        ) as client:
            answer: Any = await client.chat.completions.create(
                model="m", messages=MESSAGES, stream=stream, temperature=0.5, max_tokens=9, n=1
            )
            if stream:
                assert spans.ended == ()
                async for _ in answer:
                    pass

    asyncio.run(chat())


@pytest.fixture(params=[chat_sync, chat_async])
def chat(request: pytest.FixtureRequest) -> Chat:
    return cast("Chat", request.param)


def test_call_is_a_span_after_the_conventions(chat: Chat, spans: Spans) -> None:
    with serving(answering(reply(CHAT_BODY))) as server:
        chat(server.url, spans)
    (span,) = spans.ended
    assert (span.name, span.kind, span.status.status_code) == ("chat m", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lmaas",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.choice.count": 1,
        "gen_ai.response.id": "c",
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
    }
    sent = server.requests[0].headers["traceparent"]
    assert span.context is not None
    assert sent.split("-")[1:3] == [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]


def test_span_of_a_stream_ends_with_the_stream_and_holds_its_usage(chat: Chat, spans: Spans) -> None:
    with serving(streaming(STREAM)) as server:
        chat(server.url, spans, stream=True)
    (span,) = spans.ended
    attributes = dict(span.attributes or {})
    assert attributes["gen_ai.usage.input_tokens"] == 4
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert cast("float", attributes["gen_ai.response.time_to_first_chunk"]) > 0
    assert "CANARY" not in span.to_json()


@pytest.mark.parametrize(
    ("script", "stream", "error"),
    [
        (answering(reply(b'{"error": {"message": "CANARY"}}', 400)), False, errors.BadRequestError),
        (answering(reply(b"{}", 500, "x-should-retry: false")), True, errors.InternalServerError),
        (answering(reply(b"<CANARY>")), False, errors.APIResponseValidationError),
        (streaming(STREAM[:1]), True, errors.StreamTruncatedError),
        (streaming([b"data: CANARY\n\n"]), True, errors.APIResponseValidationError),
        (streaming(STREAM[:1], end=b""), True, errors.APIConnectionError),
    ],
)
def test_failure_is_the_type_of_the_error_and_nothing_it_says(
    chat: Chat, spans: Spans, script: Script, error: type[errors.APIError], *, stream: bool
) -> None:
    with serving(script) as server, pytest.raises((error, errors.StreamInterruptedError)):
        chat(server.url, spans, stream=stream)
    span = spans.ended[0]
    assert len(spans.ended) == 1
    assert (span.attributes or {})["error.type"] == error.__name__
    assert span.status.status_code is StatusCode.ERROR
    assert "CANARY" not in span.to_json()


def test_tries_beyond_the_first_are_told(chat: Chat, spans: Spans) -> None:
    with serving(answering(reply(b"{}", 503, "retry-after-ms: 0"), reply(CHAT_BODY))) as server:
        chat(server.url, spans)
    (span,) = spans.ended
    assert (span.attributes or {})["http.request.resend_count"] == 1


def test_calls_that_are_of_no_model_have_no_span(spans: Spans) -> None:
    vector = {"model": "e", "data": [{"index": 0, "embedding": [0.0]}], "usage": {"prompt_tokens": 2}}
    answers = answering(reply(b'{"data": []}'), reply(json.dumps(vector).encode()))
    with serving(answers) as server, LMaaS(base_url=server.url, telemetry=spans.provider) as client:
        client.models.list()
        assert not list(spans.ended)
        client.embeddings.create(model="e", input="x")
    assert [span.name for span in spans.ended] == ["embeddings e"]


def test_true_is_the_provider_of_the_program_and_false_is_none() -> None:
    with serving(answering(reply(CHAT_BODY))) as server:
        for telemetry in (True, False, None):
            with LMaaS(base_url=server.url, telemetry=telemetry) as client:
                client.chat.completions.create(model="m", messages=[])


def test_telemetry_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="str is not understood"):
        LMaaS(telemetry="yes")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "lmaas._telemetry", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install lmaas\[telemetry\]"):
        LMaaS(telemetry=True)
