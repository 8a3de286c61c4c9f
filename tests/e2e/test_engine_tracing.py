"""vLLM's own tracing, in the engine's environment: its span joins the trace of the gateway."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lmaas_gateway.replicas.catalog import PreparedModel
from lmaas_gateway.replicas.engine import EngineSpec, environment
from lmaas_gateway.settings import EngineSettings, ModelSettings
from support.collecting import Collector

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# What vLLM does at its start, and at the end of a request (`output_processor.py`, `do_tracing`).
CODE = """
import sys, time
from vllm.tracing import SpanKind, extract_trace_context, init_tracer, instrument_manual

init_tracer("vllm.llm_engine", sys.argv[1])
for parent in sys.argv[2:]:
    context = extract_trace_context({"traceparent": parent})
    instrument_manual("llm_request", start_time=time.time_ns(), context=context, kind=SpanKind.SERVER)
"""


def test_span_of_vllm_joins_a_trace_that_is_sampled_and_no_other(engine_python: str, tmp_path: Path) -> None:
    collector = Collector()
    prepared = PreparedModel("m", str(tmp_path), "chat", is_local=True)
    model = ModelSettings(name="m", model=str(tmp_path))
    spec = EngineSpec(
        model,
        prepared,
        EngineSettings(),
        engine_python,
        "cpu",
        tmp_path / "m.sock",
        traces_endpoint=collector.url,
    )
    environ = environment(spec, inherited=os.environ, cache_dir=tmp_path)
    parents = [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE[::-1]}-{SPAN}-00"]
    try:
        subprocess.run([engine_python, "-c", CODE, collector.url, *parents], env=environ, check=True)
        (span,) = collector.all_spans()
    finally:
        collector.close()
    assert (span["name"], span["trace"], span["parent"]) == ("llm_request", TRACE, SPAN)
    assert span["resource service.name"] == "vllm"
