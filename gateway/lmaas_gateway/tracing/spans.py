"""An ended call as spans: plain facts, named after OpenTelemetry's semantic conventions.

The server span is the request as the caller made it. Below it stand the wait in the queue, if there was one,
and the client span of generative AI, which is what the replica's own span has for a parent.

Source: OpenTelemetry, Semantic Conventions: HTTP server spans (stable), and Generative AI client spans,
release 1.38; `gen_ai.latency.*` as vLLM names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmaas_gateway.meter import Meter
    from lmaas_gateway.trace_context import Trace

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_MAX_CONTENT_BYTES = 64 * 1024

Kind: TypeAlias = Literal["server", "internal", "client"]
Value: TypeAlias = str | bool | int | float
Attributes = dict[str, Value]


class SpanFacts(msgspec.Struct, frozen=True):
    """One span. Times in Unix seconds.

    Attributes:
        parent_id: None at the root.
        is_remote: Whether the parent is another process's.
        error: Why it failed; empty if it did not.
        events: What happened meanwhile: names, times and attributes.
    """

    name: str
    kind: Kind
    trace_id: int
    span_id: int
    parent_id: int | None
    start_s: float
    end_s: float
    attributes: Attributes
    error: str = ""
    is_remote: bool = False
    events: tuple[tuple[str, float, Attributes], ...] = ()


def spans_of(meter: Meter, ended_s: float, duration_s: float) -> Iterator[SpanFacts]:
    """Give the spans of a call that ended at `ended_s` after `duration_s`; none of one that is not traced."""
    trace = meter.trace
    if trace is None:
        return
    started_s = ended_s - duration_s
    error = _error_of(meter)
    if sent_s := meter.sent_s:
        # Of several attempts the last one's time is known, and how long the others took.
        asked_s = started_s + max(
            0.0, sent_s - sum(failure.took_us for failure in meter.failures or ()) / 1e6
        )
        yield _client_span(meter, trace, (started_s, asked_s, ended_s), error)
        if meter.queued_s:
            yield SpanFacts(
                f"queue {meter.model}",
                "internal",
                trace.trace_id,
                trace.queue_id,
                trace.server_id,
                max(started_s, asked_s - meter.queued_s),
                asked_s,
                {"lmaas.queue.wait_s": meter.queued_s},
            )
    yield SpanFacts(
        f"POST {meter.route}",
        "server",
        trace.trace_id,
        trace.server_id,
        trace.parent_id,
        started_s,
        ended_s,
        _of_server(meter, error),
        error if meter.status >= 500 or meter.outcome == "interrupted" else "",
        is_remote=trace.parent_id is not None,
    )


def _client_span(meter: Meter, trace: Trace, times: tuple[float, float, float], error: str) -> SpanFacts:
    started_s, asked_s, ended_s = times
    operation = _OPERATIONS.get(meter.route, meter.route.rpartition("/")[2])
    return SpanFacts(
        f"{operation} {meter.model}",
        "client",
        trace.trace_id,
        trace.client_id,
        trace.server_id,
        asked_s,
        ended_s,
        {"gen_ai.operation.name": operation, **_of_client(meter, trace, asked_s - started_s, error)},
        error,
        events=tuple(_failures(meter, asked_s)),
    )


def _failures(meter: Meter, at_s: float) -> Iterator[tuple[str, float, Attributes]]:
    for failure in meter.failures or ():
        at_s += failure.took_us / 1e6
        told: Attributes = {"lmaas.replica.name": failure.replica, "error.type": failure.reason}
        yield "attempt failed", at_s, told


def _of_server(meter: Meter, error: str) -> Attributes:
    return _told(
        {
            "http.request.method": "POST",
            "http.route": meter.route,
            "url.path": meter.route,
            "http.response.status_code": meter.status,
            "error.type": error,
            "lmaas.request.id": meter.request_id,
            "lmaas.outcome": meter.outcome,
            "lmaas.cache": meter.cache,
        }
    )


def _of_client(meter: Meter, trace: Trace, asked_after_s: float, error: str) -> Attributes:
    wanted, usage = trace.wanted, meter.usage
    first_s = meter.first_byte_s() - asked_after_s if meter.is_stream and meter.first_byte_s() else 0.0
    attributes: dict[str, Value | None] = {
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": meter.model,
        "gen_ai.request.stream": meter.is_stream,
        "gen_ai.response.time_to_first_chunk": first_s,
        "error.type": error,
        "lmaas.replica.name": meter.replica,
        "http.request.resend_count": max(0, meter.attempts - 1),
        "gen_ai.input.messages": trace.prompt[:_MAX_CONTENT_BYTES].decode(errors="replace"),
    }
    if wanted is not None:
        attributes["gen_ai.request.max_tokens"] = wanted.max_completion_tokens or wanted.max_tokens
    if usage is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = usage.completion_tokens
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if meter.engine_us is not None:
        names = ("in_queue", "in_model_prefill", "in_model_decode")
        for name, spent_us in zip(names, meter.engine_us, strict=True):
            attributes[f"gen_ai.latency.time_{name}"] = spent_us / 1e6
    return _told(attributes)


def _error_of(meter: Meter) -> str:
    """Name what went wrong by its code, never by a message: that may repeat what was asked."""
    if meter.status < 400 and meter.outcome != "interrupted":
        return ""
    return meter.code or meter.outcome


def _told(attributes: Mapping[str, Value | None]) -> Attributes:
    """Leave out what there is nothing to say of."""
    return {name: value for name, value in attributes.items() if value}
