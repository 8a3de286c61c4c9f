"""Which calls are traced, and what is handed to the replica so that its spans join.

A call that is not traced costs a look for a header and a number by chance. A traced one is noted in its
meter, and becomes spans when it has ended: nothing else on its way knows of traces.
"""

from __future__ import annotations

import os
import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway import envelope
from lmaas_gateway.notes import TRACED
from lmaas_gateway.trace_context import Trace, read_parent, write_parent
from lmaas_gateway.tracing.spans import spans_of
from lmaas_gateway.tracing.variables import read_variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmaas_gateway.envelope import Envelope
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.settings import TracingSettings
    from lmaas_gateway.trace_context import Parent
    from lmaas_gateway.tracing.spans import SpanFacts

_NO_FIELDS: Mapping[bytes, bytes] = MappingProxyType({})


class Exporter(Protocol):
    """Where spans go."""

    def export(self, spans: Iterable[SpanFacts]) -> None:
        """Take spans, without waiting for anybody."""
        ...

    def close(self) -> None:
        """Send what is left; may wait some seconds."""
        ...


class Tracing:
    """Traces a part of the calls.

    Args:
        settings: Which part, and what of it.
        exporter: Where spans go.
        chance: Decides; ids come from it too, which need not be secret.
    """

    def __init__(
        self,
        settings: TracingSettings,
        exporter: Exporter,
        chance: random.Random = random.Random(),  # noqa: B008, S311 - seeded by the system
    ) -> None:
        self._settings = settings
        self._exporter = exporter
        self._chance = chance
        self._ratio = settings.ratio
        # Without a header an engine that traces would record every call. Nobody records this one.
        self._unsampled = write_parent(self._new_id(128), self._new_id(64), is_sampled=False)

    def carry(self, fields: Mapping[bytes, bytes], lines: bytes, meter: Meter, wanted: Envelope) -> bytes:
        """Decide whether a call is traced, and give the header lines for its replica.

        A caller's decision is followed, where the settings say so; otherwise it is by chance.

        Args:
            fields: The caller's headers, names in lower case.
            lines: Of them, those that the replica gets, each ended by CRLF.
            meter: Takes note of a trace.
            wanted: What was read of the body.
        """
        given = fields.get(b"traceparent")
        if given is None:
            if self._chance.random() >= self._ratio:
                return lines + self._unsampled
            return lines + self._begin(meter, wanted, None)
        theirs = b"traceparent: %b\r\n" % given
        parent = read_parent(given) if self._settings.follow_callers else None
        if parent is None:
            return self.carry(_NO_FIELDS, lines.replace(theirs, b""), meter, wanted)
        if not parent.is_sampled:
            return lines
        return lines.replace(theirs, self._begin(meter, wanted, parent))

    def close(self, meter: Meter, ended_s: float, duration_s: float) -> None:
        """Export the spans of a traced call that ended at `ended_s`, in Unix seconds, after `duration_s`."""
        self._exporter.export(spans_of(meter, ended_s, duration_s))

    def stop(self) -> None:
        """Send what is left; may wait some seconds."""
        self._exporter.close()

    def _begin(self, meter: Meter, wanted: Envelope, parent: Parent | None) -> bytes:
        """Begin to trace a call; give the header's line for its replica."""
        server_id, queue_id, client_id = (self._new_id(64) for _ in range(3))
        if self._settings.record_content:
            meter.applied |= TRACED
        trace = meter.trace = Trace(
            self._new_id(128) if parent is None else parent.trace_id,
            None if parent is None else parent.span_id,
            server_id,
            queue_id,
            client_id,
            wanted,
            bytes(envelope.prompt_of(wanted)) if self._settings.record_content else b"",
        )
        return trace.header()

    def _new_id(self, bits: int) -> int:
        return self._chance.getrandbits(bits) or 1


def open_tracing(settings: TracingSettings, environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """Begin to trace; None where it is not configured.

    Args:
        settings: Where to, and what.
        environ: The environment, of which OpenTelemetry's own variables are read.

    Raises:
        SettingsError: one of these is not what it must be.
    """
    if settings.endpoint is None:
        return None
    # HTTP's client is loaded only where there is a collector.
    from lmaas_gateway.tracing.export import OtlpExporter  # noqa: PLC0415 - see above

    exporter = OtlpExporter(settings.endpoint, settings.service_name, read_variables(environ))
    return Tracing(settings, exporter)
