"""Spans to an OTLP collector over HTTP: the only file that knows OpenTelemetry's library.

Facts become spans of the SDK, which sends them in batches from a thread of its own. Where the collector is
slow or away, what does not fit into its queue is dropped: serving never waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from lmaas_gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.tracing.spans import SpanFacts

_TIMEOUT_S = 5.0
_KINDS = {"server": SpanKind.SERVER, "internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}


class OtlpExporter:
    """Sends spans to a collector.

    Args:
        endpoint: Its URL for traces.
        service_name: What they are said to come from.
    """

    def __init__(self, endpoint: str, service_name: str) -> None:
        self._resource = Resource.create({"service.name": service_name, "service.version": __version__})
        self._scope = InstrumentationScope("lmaas_gateway", __version__)
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT_S))

    def export(self, spans: Iterable[SpanFacts]) -> None:
        """Take spans, without waiting for anybody."""
        for facts in spans:
            self._processor.on_end(self._span(facts))

    def close(self) -> None:
        """Send what is left; waits for the collector, some seconds at most."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it without types

    def _span(self, facts: SpanFacts) -> ReadableSpan:
        parent = None
        if facts.parent_id is not None:
            parent = _context(facts.trace_id, facts.parent_id, is_remote=facts.is_remote)
        return ReadableSpan(
            facts.name,
            context=_context(facts.trace_id, facts.span_id),
            parent=parent,
            resource=self._resource,
            attributes=facts.attributes,
            events=[Event(name, told, _nanoseconds(at_s)) for name, at_s, told in facts.events],
            kind=_KINDS[facts.kind],
            status=Status(StatusCode.ERROR, facts.error) if facts.error else Status(),
            start_time=_nanoseconds(facts.start_s),
            end_time=_nanoseconds(facts.end_s),
            instrumentation_scope=self._scope,
        )


def _context(trace_id: int, span_id: int, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
