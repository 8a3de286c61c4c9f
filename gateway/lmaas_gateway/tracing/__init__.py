"""Traces of calls, for OpenTelemetry: a part of them, from the caller through the gateway into vLLM.

`tracing.py` decides which calls are traced, and notes it in their meters (`trace_context.py`); `spans.py`
turns an ended call into spans; `otlp.py` writes them, and `export.py` sends them to a collector.
"""

from lmaas_gateway.tracing.tracing import Tracing, open_tracing

__all__ = ["Tracing", "open_tracing"]
