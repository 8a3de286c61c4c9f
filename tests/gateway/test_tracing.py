"""Traces: what a real collector receives, what replicas are told, and what is never in it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider

from lmaas import AsyncLMaaS
from lmaas_gateway.envelope import Envelope
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.meter import Meter
from lmaas_gateway.notes import Failure
from lmaas_gateway.settings import TracingSettings
from lmaas_gateway.testing import FakeReplica, Script
from lmaas_gateway.trace_context import read_parent
from lmaas_gateway.tracing import Tracing, open_tracing
from support.collecting import Collector
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmaas_gateway.tracing.spans import SpanFacts

SECRET = "the-words-of-a-prompt"
ASKED = {**ASK, "messages": [{"role": "user", "content": SECRET}], "max_tokens": 5}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def told(replica: FakeReplica) -> str:
    return replica.calls[-1].request.headers.get("traceparent", "")


class TestCollector:
    """What comes out, over a socket, once the gateway has stopped."""

    async def test_call_is_one_trace_from_the_client_through_the_gateway_to_the_replica(
        self, collector: Collector
    ) -> None:
        provider = TracerProvider()
        async with FakeReplica() as replica:
            settings = settings_for(replica, tracing={"endpoint": collector.url, "ratio": 0})
            async with run_gateway(settings) as running:
                url = f"http://127.0.0.1:{running.port}/v1"
                async with AsyncLMaaS(base_url=url, api_key="none-is-asked", telemetry=provider) as client:
                    with provider.get_tracer("test").start_as_current_span("outermost") as outermost:
                        await client.chat.completions.create(
                            model="mock", messages=ASKED["messages"], max_tokens=5
                        )
                await running.logged()
            header = told(replica)
        assert collector.paths[0] == "/v1/traces"
        server, chat = collector.spans["POST /v1/chat/completions"], collector.spans["chat mock"]
        trace = f"{outermost.get_span_context().trace_id:032x}"
        assert (server["trace"], chat["trace"]) == (trace, trace)
        assert server["parent"] not in {"", f"{outermost.get_span_context().span_id:016x}"}
        assert chat["parent"] == server["id"]
        assert header == f"00-{trace}-{chat['id']}-01"
        assert (server["kind"], chat["kind"]) == (2, 3)
        assert server["http.route"] == "/v1/chat/completions"
        assert server["http.response.status_code"] == 200
        assert server["resource service.name"] == "lmaas-gateway"
        assert chat["gen_ai.operation.name"] == "chat"
        assert (chat["gen_ai.provider.name"], chat["gen_ai.request.model"]) == ("vllm", "mock")
        assert (chat["gen_ai.request.max_tokens"], chat["gen_ai.usage.output_tokens"]) == (5, 5)
        assert chat["lmaas.replica.name"] == "mock-0"
        assert 0 < chat["took_ns"] <= server["took_ns"]
        assert not any(SECRET.encode() in body for body in collector.bodies)

    async def test_prompt_is_there_only_where_it_is_switched_on(self, collector: Collector) -> None:
        tracing = {"endpoint": collector.url, "ratio": 1, "record_content": True}
        async with FakeReplica() as replica, run_gateway(settings_for(replica, tracing=tracing)) as running:
            assert (await running.post(CHAT, ASKED)).status == 200
        assert SECRET in collector.spans["chat mock"]["gen_ai.input.messages"]

    async def test_failed_call_is_an_error_by_its_code_and_not_its_message(
        self, collector: Collector
    ) -> None:
        tracing = {"endpoint": collector.url, "ratio": 1}
        async with (
            FakeReplica(script=Script(status=500)) as replica,
            run_gateway(settings_for(replica, tracing=tracing)) as running,
        ):
            assert (await running.post(CHAT, ASKED)).status >= 500
        server = collector.spans["POST /v1/chat/completions"]
        assert server["status"] == 2
        assert server["error.type"]
        assert not any(SECRET.encode() in body for body in collector.bodies)

    async def test_calls_that_are_not_sampled_leave_nothing_and_the_replica_is_told(
        self, collector: Collector
    ) -> None:
        tracing = {"endpoint": collector.url, "ratio": 0}
        async with FakeReplica() as replica, run_gateway(settings_for(replica, tracing=tracing)) as running:
            assert (await running.post(CHAT, STREAM)).status == 200
            assert told(replica).endswith("-00")
            assert (await running.post(CHAT, ASK, f"traceparent: {UNSAMPLED}")).status == 200
            assert told(replica) == UNSAMPLED
        assert collector.bodies == []

    async def test_collector_that_is_away_holds_nothing_up(self) -> None:
        tracing = {"endpoint": "http://127.0.0.1:9/v1/traces", "ratio": 1}
        async with FakeReplica() as replica, run_gateway(settings_for(replica, tracing=tracing)) as running:
            assert (await running.post(CHAT, ASK)).status == 200


class Spans(list["SpanFacts"]):
    """An exporter that keeps what it gets."""

    def export(self, spans: Iterable[SpanFacts]) -> None:
        self.extend(spans)

    def close(self) -> None:
        pass


WANTED = msgspec.json.decode(msgspec.json.encode(ASKED), type=Envelope)


def carried(given: str | None = None, **settings: Any) -> tuple[bytes, Meter]:
    """Give the lines for the replica of a call with this header, and its meter."""
    fields = {} if given is None else {b"traceparent": given.encode(), b"tracestate": b"a=1"}
    lines = b"".join(b"%b: %b\r\n" % line for line in fields.items())
    meter = Meter("req_1", CHAT, lambda: 0.0)
    rules = TracingSettings.model_validate({"endpoint": "http://127.0.0.1:9/", **settings})
    return Tracing(rules, Spans(), random.Random(7)).carry(fields, lines, meter, WANTED), meter


class TestDecision:
    """Which calls are traced."""

    def test_caller_that_traces_is_followed_and_its_state_goes_on(self) -> None:
        lines, meter = carried(SAMPLED, ratio=0)
        assert meter.trace is not None
        assert lines == meter.trace.header() + b"tracestate: a=1\r\n"
        assert (f"{meter.trace.trace_id:032x}", f"{meter.trace.parent_id:016x}") == (TRACE, SPAN)

    def test_caller_that_does_not_is_followed_too(self) -> None:
        lines, meter = carried(UNSAMPLED, ratio=1)
        assert meter.trace is None
        assert UNSAMPLED.encode() in lines

    def test_stranger_is_not_followed_where_the_settings_say_so(self) -> None:
        lines, meter = carried(SAMPLED, ratio=0, follow_callers=False)
        assert meter.trace is None
        assert TRACE.encode() not in lines
        lines, meter = carried(UNSAMPLED, ratio=1, follow_callers=False)
        assert meter.trace is not None
        assert meter.trace.parent_id is None

    def test_about_as_many_calls_are_traced_as_the_ratio_says(self) -> None:
        rules = TracingSettings(endpoint="http://127.0.0.1:9/", ratio=0.25)
        tracing = Tracing(rules, Spans(), random.Random(7))
        meters = [Meter("req_1", CHAT, lambda: 0.0) for _ in range(2000)]
        for meter in meters:
            tracing.carry({}, b"", meter, WANTED)
        assert 400 < sum(meter.trace is not None for meter in meters) < 600

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "nonsense",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            f"00-{TRACE}-{SPAN}",
        ],
    )
    def test_header_that_is_none_is_not_passed_on_and_a_trace_begins_anew(self, header: str) -> None:
        assert read_parent(header.encode()) is None
        lines, meter = carried(header, ratio=1)
        assert meter.trace is not None
        assert meter.trace.parent_id is None
        assert lines.count(b"traceparent") == 1

    def test_header_of_a_later_version_may_have_more_fields(self) -> None:
        parent = read_parent(f"01-{TRACE}-{SPAN}-03-more".encode())
        assert parent is not None
        assert parent.is_sampled


class TestSpans:
    """What an ended call is turned into."""

    def _ended(self, meter: Meter) -> dict[str, SpanFacts]:
        spans = Spans()
        rules = TracingSettings(endpoint="http://127.0.0.1:9/")
        Tracing(rules, spans, random.Random(7)).close(meter, 1000.0, 5.0)
        return {span.name: span for span in spans}

    def test_wait_in_the_queue_and_failed_attempts_are_seen(self) -> None:
        _, meter = carried(ratio=1)
        times = iter((3.0, 3.5))
        meter._started, meter._clock = 0.0, lambda: next(times)
        meter.see_sent(0)
        meter.see_first_byte()
        meter.model, meter.replica, meter.status = "mock", "mock-1", 200
        meter.is_stream, meter.queued_s, meter.attempts = True, 1.5, 2
        meter.failures = [Failure("mock", "mock-0", "connect", 0, 1_000_000)]
        meter.engine_us = (1000, 2000, 3000)
        found = self._ended(meter)
        queue, chat, server = (found[name] for name in ("queue mock", "chat mock", f"POST {CHAT}"))
        assert (server.start_s, server.end_s) == (995.0, 1000.0)
        assert (queue.start_s, queue.end_s) == (995.5, 997.0)
        assert (chat.start_s, chat.end_s) == (997.0, 1000.0)
        assert queue.parent_id == chat.parent_id == server.span_id
        ((name, at_s, what),) = chat.events
        assert (name, at_s, what["lmaas.replica.name"]) == ("attempt failed", 998.0, "mock-0")
        assert chat.attributes["gen_ai.response.time_to_first_chunk"] == 1.5
        assert chat.attributes["gen_ai.latency.time_in_model_prefill"] == 0.002

    def test_call_that_reached_no_replica_is_the_request_alone(self) -> None:
        _, meter = carried(ratio=1)
        meter.status, meter.outcome, meter.code = 429, "error", "queue_full"
        found = self._ended(meter)
        assert list(found) == [f"POST {CHAT}"]
        assert found[f"POST {CHAT}"].error == ""
        assert found[f"POST {CHAT}"].attributes["error.type"] == "queue_full"

    def test_call_that_is_not_traced_is_none(self) -> None:
        assert self._ended(Meter("req_1", CHAT, lambda: 0.0)) == {}


class TestOpening:
    """What is loaded, and read of the environment."""

    def test_nothing_is_opened_where_nothing_is_configured(self) -> None:
        assert open_tracing(TracingSettings()) is None

    def test_variable_that_cannot_be_is_named(self) -> None:
        settings = TracingSettings(endpoint="http://127.0.0.1:9/")
        with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS"):
            open_tracing(settings, {"OTEL_EXPORTER_OTLP_HEADERS": "nonsense"})

    async def test_headers_and_resource_of_the_environment_reach_the_collector(
        self, collector: Collector
    ) -> None:
        environ = {
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20of-a-collector",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=another",
        }
        tracing = open_tracing(TracingSettings(endpoint=collector.url, ratio=1), environ)
        assert tracing is not None
        meter = Meter("req_1", CHAT, lambda: 0.0)
        tracing.carry({}, b"", meter, WANTED)
        tracing.close(meter, 1000.0, 5.0)
        tracing.stop()
        (headers,) = collector.headers
        assert headers["authorization"] == "Bearer of-a-collector"
        assert headers["content-type"] == "application/x-protobuf"
        (span,) = collector.all_spans()
        assert span["resource deployment.environment.name"] == "test"
        assert span["resource service.name"] == "lmaas-gateway"
        assert span["took_ns"] == 5 * 10**9
