"""OpenTelemetry: a span for each call of a model, after the semantic conventions for generative AI.

Needs `pip install lmaas[telemetry]`, and is imported only for a client that was told `telemetry=True`. What
was asked and answered is never recorded. The span of a stream ends with the stream.

Source: OpenTelemetry, Semantic Conventions for Generative AI client spans, release 1.38.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from lmaas._version import __version__
from lmaas._watch import CallRecord, End
from lmaas.errors import ConfigurationError

try:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
except ImportError:
    message = "opentelemetry is not installed; run `pip install lmaas[telemetry]`, or leave telemetry out."
    raise ConfigurationError(message) from None

_OPERATIONS: Final = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/rerank": "rerank",
    "/score": "score",
    "/classify": "classify",
    "/pooling": "pooling",
}

_ASKED: Final = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}


class Telemetry:
    """Makes spans of calls.

    Args:
        provider: Where spans go; None is OpenTelemetry's global one.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("lmaas", __version__, tracer_provider=provider)

    def begin(self, record: CallRecord) -> End:
        """Begin the span of a call, and send its name along in the `traceparent` header."""
        operation = _operation(record.request.path)
        if operation is None:
            return _nothing
        name = f"{operation} {record.model}" if record.model else operation
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=_asked(operation, record))
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        for header, value in carrier.items():
            record.request = record.request.with_header(header, value)
        return lambda: _end(span, record)


def telemetry_of(value: object) -> Telemetry:
    """Read what users may give as `telemetry=`: True, or a tracer provider of their own.

    Raises:
        ConfigurationError: it is neither.
    """
    if value is True:
        return Telemetry()
    if isinstance(value, TracerProvider):
        return Telemetry(value)
    message = f"telemetry: {type(value).__name__} is not understood; give True, False or a TracerProvider."
    raise ConfigurationError(message)


def _operation(path: str) -> str | None:
    route = next((route for route in _OPERATIONS if path.endswith(route)), None)
    return None if route is None else _OPERATIONS[route]


def _asked(operation: str, record: CallRecord) -> Mapping[str, Any]:
    url = urlsplit(record.request.url)
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "lmaas",
        "server.address": url.hostname,
        "server.port": url.port or {"http": 80, "https": 443}[url.scheme],
    }
    if record.model:
        attributes["gen_ai.request.model"] = record.model
    if record.is_stream:
        attributes["gen_ai.request.stream"] = True
    for param, attribute in _ASKED.items():
        value = record.params.get(param)
        if isinstance(value, (int, float)):
            attributes[attribute] = value
    return attributes


def _answered(record: CallRecord) -> Mapping[str, Any]:
    reasons = [reason for _, reason in sorted(record.finish_reasons.items())]
    tokens = record.tokens
    told: dict[str, Any] = {
        "gen_ai.response.id": record.response_id,
        "gen_ai.response.model": record.response_model,
        "gen_ai.response.finish_reasons": reasons or None,
        "gen_ai.response.time_to_first_chunk": record.first_item_s,
        "http.response.status_code": record.status_code,
        "http.request.resend_count": record.tries - 1 or None,
    }
    if tokens is not None:
        told["gen_ai.usage.input_tokens"] = tokens.input_tokens
        told["gen_ai.usage.output_tokens"] = tokens.output_tokens
        told["gen_ai.usage.cache_read.input_tokens"] = tokens.cached_tokens or None
    return {name: value for name, value in told.items() if value is not None}


def _end(span: Span, record: CallRecord) -> None:
    span.set_attributes(_answered(record))
    if record.error is not None:
        # Not the message: a server may repeat in it what it was asked.
        name = type(record.error).__name__
        span.set_attribute("error.type", name)
        span.set_status(Status(StatusCode.ERROR, name))
    span.end()


def _nothing() -> None:
    pass
