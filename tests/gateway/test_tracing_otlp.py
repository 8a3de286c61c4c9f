"""Spans as they are written: what OpenTelemetry's own classes read is what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from lmaas_gateway.tracing.otlp import write_request, write_span
from lmaas_gateway.tracing.spans import Kind, SpanFacts
from support.collecting import value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

SCOPE = ("scope", "1.2")
KINDS = {
    "server": Span.SPAN_KIND_SERVER,
    "internal": Span.SPAN_KIND_INTERNAL,
    "client": Span.SPAN_KIND_CLIENT,
}

texts = some.text(max_size=300)
values = some.one_of(texts, some.booleans(), some.integers(-(2**63), 2**63 - 1), some.floats(allow_nan=False))
attributes = some.dictionaries(texts, values, max_size=5)
times = some.floats(0, 2**33)
spans = some.builds(
    SpanFacts,
    name=texts,
    kind=some.sampled_from(get_args(Kind)),
    trace_id=some.integers(1, 2**128 - 1),
    span_id=some.integers(1, 2**64 - 1),
    parent_id=some.none() | some.integers(1, 2**64 - 1),
    start_s=times,
    end_s=times,
    attributes=attributes,
    error=texts,
    is_remote=some.booleans(),
    events=some.lists(some.tuples(texts, times, attributes), max_size=3).map(tuple),
)


def told(pairs: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(pair.key, value_of(pair.value)) for pair in pairs]


def typed(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, type, Any]]:
    """Tell 1, 1.0 and True apart."""
    return [(name, type(value), value) for name, value in pairs]


def read(message: bytes) -> tuple[Any, list[Span]]:
    request = ExportTraceServiceRequest.FromString(message)
    assert request.SerializeToString(deterministic=True), "nothing is known of it"
    (resource_spans,) = request.resource_spans
    (scope_spans,) = resource_spans.scope_spans
    assert (scope_spans.scope.name, scope_spans.scope.version) == SCOPE
    return resource_spans.resource, list(scope_spans.spans)


@given(spans, attributes)
def test_span_is_read_as_it_was_meant(facts: SpanFacts, of_resource: dict[str, Any]) -> None:
    resource, (span,) = read(write_request(of_resource, SCOPE, [write_span(facts)]))
    assert typed(told(resource.attributes)) == typed(of_resource.items())
    assert span.trace_id == facts.trace_id.to_bytes(16, "big")
    assert span.span_id == facts.span_id.to_bytes(8, "big")
    assert span.parent_span_id == (b"" if facts.parent_id is None else facts.parent_id.to_bytes(8, "big"))
    assert (span.name, span.kind) == (facts.name, KINDS[facts.kind])
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        int(facts.start_s * 1e9),
        int(facts.end_s * 1e9),
    )
    assert typed(told(span.attributes)) == typed(facts.attributes.items())
    events = [(event.name, event.time_unix_nano, told(event.attributes)) for event in span.events]
    assert events == [(name, int(at_s * 1e9), list(what.items())) for name, at_s, what in facts.events]
    is_error = bool(facts.error)
    assert span.status.code == (Status.STATUS_CODE_ERROR if is_error else Status.STATUS_CODE_UNSET)
    assert span.status.message == facts.error
    assert span.flags & SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    assert bool(span.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK) is facts.is_remote
    assert span.flags & SpanFlags.SPAN_FLAGS_TRACE_FLAGS_MASK == 1


@given(some.lists(spans, max_size=4))
def test_message_has_the_spans_in_their_order_and_nothing_else(several: list[SpanFacts]) -> None:
    message = write_request({}, SCOPE, map(write_span, several))
    _, found = read(message)
    assert [span.name for span in found] == [facts.name for facts in several]
    request = ExportTraceServiceRequest.FromString(message)
    request.DiscardUnknownFields()
    assert ExportTraceServiceRequest.FromString(request.SerializeToString()) == request
