"""A collector of OpenTelemetry's spans, as tests look into it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """An OTLP/HTTP receiver on loopback.

    Args:
        refusals: Statuses of its first answers; bodies that it answers with them are not kept.
    """

    def __init__(self, *refusals: int) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.refusals = list(refusals)
        self.asked = threading.Semaphore(0)
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.paths.append(self.path)
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                body = self.rfile.read(int(self.headers["content-length"]))
                if not collector.refusals:
                    collector.bodies.append(body)
                self.send_response(collector.refusals.pop(0) if collector.refusals else 200)
                self.send_header("content-length", "0")
                self.end_headers()
                collector.asked.release()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"

    @property
    def spans(self) -> dict[str, dict[str, Any]]:
        """By name, the last of equal ones."""
        return {span["name"]: span for span in self.all_spans()}

    def all_spans(self) -> list[dict[str, Any]]:
        """Give every span so far: its name, ids in hexadecimal, and attributes."""
        found = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                told_of = {f"resource {one.key}": value_of(one.value) for one in resource.resource.attributes}
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    told = {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "kind": span.kind,
                        "status": span.status.code,
                        "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
                        **{one.key: value_of(one.value) for one in span.attributes},
                        **told_of,
                    }
                    found.append(told)
        return found

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
