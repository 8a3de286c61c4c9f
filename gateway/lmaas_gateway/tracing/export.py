"""Spans on their way to an OTLP collector: written at once, sent in batches from a thread of its own.

Serving never waits. Where the collector is away or has no time, spans wait for it, as many as there is room
for, and are sent again with the next ones.

Source: OpenTelemetry Protocol 1.x, OTLP/HTTP: binary payloads, and which failures are worth another attempt.
"""

from __future__ import annotations

import logging
import threading
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from lmaas_gateway import __version__
from lmaas_gateway.tracing.otlp import write_request, write_span
from lmaas_gateway.tracing.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.tracing.spans import SpanFacts, Value

_LOG = logging.getLogger("lmaas.gateway")

# So much is sent at once, without waiting for the next turn.
_BATCH_BYTES = 256 * 1024
# Collectors take 20 MiB in one message, unless they are told otherwise.
_MAX_WAITING_BYTES = 8 * 2**20
_TIMEOUT_S = 5.0
_LATER = frozenset({429, 502, 503, 504})
_SCOPE = ("lmaas_gateway", __version__)


class OtlpExporter:
    """Sends spans to a collector.

    Args:
        endpoint: Its URL for traces.
        service_name: What they are said to come from.
        variables: What the environment says.
        max_waiting_bytes: How much waits; what comes beyond it is dropped.
    """

    def __init__(
        self,
        endpoint: str,
        service_name: str,
        variables: Variables = Variables(),  # noqa: B008 - frozen
        *,
        max_waiting_bytes: int = _MAX_WAITING_BYTES,
    ) -> None:
        self._endpoint = endpoint
        self._http = _open_http()
        self._headers = {**variables.headers, "content-type": "application/x-protobuf"}
        self._resource: dict[str, Value] = {
            **variables.resource,
            "service.name": service_name,
            "service.version": __version__,
        }
        self._delay_s = variables.delay_s
        self._max_waiting_bytes = max_waiting_bytes
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._wake = threading.Event()
        self._is_closed = self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def export(self, spans: Iterable[SpanFacts]) -> None:
        """Take spans, without waiting for anybody."""
        written = [write_span(span) for span in spans]
        size = sum(map(len, written))
        with self._lock:
            before = self._waiting_bytes
            if before + size > self._max_waiting_bytes:
                return
            self._waiting += written
            self._waiting_bytes = before + size
        # Once for each batch: while the collector is away, more spans are no reason to try more often.
        if before < _BATCH_BYTES <= before + size:
            self._wake.set()

    def close(self) -> None:
        """Send what is left; waits for the collector, some seconds at most."""
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            is_last = self._is_closed
            self._send()

    def _send(self) -> None:
        with self._lock:
            spans = tuple(self._waiting)
        if not spans or not self._is_settled(write_request(self._resource, _SCOPE, spans)):
            return
        with self._lock:
            del self._waiting[: len(spans)]
            self._waiting_bytes -= sum(map(len, spans))

    def _is_settled(self, message: bytes) -> bool:
        """Send a message; tell whether it has arrived, or is refused for good."""
        try:
            request = Request(self._endpoint, message, self._headers, method="POST")  # noqa: S310 - see below
            with self._http.open(request, timeout=_TIMEOUT_S):
                self._is_failing = False
                return True
        except HTTPError as error:
            error.close()
            self._complain(f"it answered {error.code}")
            return error.code not in _LATER
        except (OSError, HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            self._complain(type(reason).__name__)
            return False

    def _complain(self, reason: str) -> None:
        """Log the first of several failures in a row."""
        if not self._is_failing:
            _LOG.warning("spans do not reach the collector of `tracing.endpoint`: %s", reason)
        self._is_failing = True


def _open_http() -> OpenerDirector:
    """Make a client of HTTP and HTTPS alone, that takes the system's proxies and follows no redirect.

    The headers may hold a key, which is the collector's and nobody else's.
    """
    client = OpenerDirector()
    for handler in (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor):
        client.add_handler(handler())
    return client
