"""Spans on their way to a collector: in batches, again after a failure, never more than there is room for."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.tracing.export import OtlpExporter
from lmaas_gateway.tracing.spans import SpanFacts
from lmaas_gateway.tracing.variables import Variables, read_variables
from support.collecting import Collector

NEVER = Variables(delay_s=3600)
SOON = Variables(delay_s=0.01)
PATIENCE_S = 30


def span(name: str, *, told: str = "") -> SpanFacts:
    return SpanFacts(name, "server", 1, 2, None, 1.0, 2.0, {"told": told})


def names(collector: Collector) -> list[str]:
    return [found["name"] for found in collector.all_spans()]


def exporter_to(collector: Collector, variables: Variables, **bounds: int) -> OtlpExporter:
    return OtlpExporter(collector.url, "test", variables, **bounds)


def test_spans_of_many_calls_go_in_one_message_at_the_end() -> None:
    with closing(Collector()) as collector:
        exporter = exporter_to(collector, NEVER)
        for number in range(3):
            exporter.export([span(f"a{number}"), span(f"b{number}")])
        exporter.close()
        assert names(collector) == ["a0", "b0", "a1", "b1", "a2", "b2"]
        assert len(collector.bodies) == 1


def test_spans_are_sent_after_a_while() -> None:
    with closing(Collector()) as collector:
        exporter = exporter_to(collector, SOON)
        exporter.export([span("one")])
        assert collector.asked.acquire(timeout=PATIENCE_S)
        assert names(collector) == ["one"]
        exporter.close()
        assert len(collector.bodies) == 1, "sent twice"


def test_many_spans_are_not_waited_for() -> None:
    with closing(Collector()) as collector:
        exporter = exporter_to(collector, NEVER)
        exporter.export([span("large", told="x" * 2**19)])
        assert collector.asked.acquire(timeout=PATIENCE_S)
        exporter.close()
        assert names(collector) == ["large"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_collector_that_has_no_time_is_asked_again(status: int) -> None:
    with closing(Collector(status, status)) as collector:
        exporter = exporter_to(collector, SOON)
        exporter.export([span("patient")])
        for _ in range(3):
            assert collector.asked.acquire(timeout=PATIENCE_S)
        exporter.close()
        assert names(collector) == ["patient"]


def test_spans_that_are_refused_for_good_are_let_go(caplog: pytest.LogCaptureFixture) -> None:
    with closing(Collector(400)) as collector, caplog.at_level(logging.WARNING, "lmaas.gateway"):
        exporter = exporter_to(collector, SOON)
        exporter.export([span("refused")])
        assert collector.asked.acquire(timeout=PATIENCE_S)
        exporter.export([span("next")])
        exporter.close()
        assert names(collector) == ["next"]
    (line,) = caplog.messages
    assert line == "spans do not reach the collector of `tracing.endpoint`: it answered 400"


def test_redirect_is_not_followed() -> None:
    with closing(Collector(307)) as collector:
        exporter = exporter_to(collector, NEVER)
        exporter.export([span("one")])
        exporter.close()
        assert len(collector.headers) == 1
        assert collector.bodies == []


def test_spans_that_there_is_no_room_for_are_dropped_and_those_before_them_sent() -> None:
    with closing(Collector()) as collector:
        exporter = exporter_to(collector, NEVER, max_waiting_bytes=200)
        for number in range(100):
            exporter.export([span(f"span {number}")])
        exporter.close()
        assert 0 < len(names(collector)) < 4
        assert names(collector)[0] == "span 0"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9/", "http://[bad/", "http://host:port/"])
def test_collector_that_cannot_be_reached_is_told_of_once(
    endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "lmaas.gateway"):
        exporter = OtlpExporter(endpoint, "test", NEVER)
        exporter.export([span("lost", told="the-words-of-a-prompt")])
        exporter.close()
    (line,) = caplog.messages
    assert line.startswith("spans do not reach the collector of `tracing.endpoint`: ")
    assert endpoint not in line
    assert "the-words-of-a-prompt" not in line


class TestVariables:
    """What OpenTelemetry's variables say."""

    def test_without_any_it_is_as_opentelemetry_has_it(self) -> None:
        assert read_variables({}) == Variables(headers={}, resource={}, delay_s=5.0)

    def test_pairs_are_read_as_they_are_written_in_baggage(self) -> None:
        read = read_variables(
            {
                "OTEL_EXPORTER_OTLP_HEADERS": "api-key = a%3Db%2C , x-scope-orgid=1,",
                "OTEL_RESOURCE_ATTRIBUTES": "city=%E5%8C%97%E4%BA%AC",
                "OTEL_BSP_SCHEDULE_DELAY": "250",
            }
        )
        assert read.headers == {"api-key": "a=b,", "x-scope-orgid": "1"}
        assert (read.resource, read.delay_s) == ({"city": "\u5317\u4eac"}, 0.25)
        assert "a=b" not in repr(read), "a secret is shown"

    def test_headers_of_traces_alone_win(self) -> None:
        names = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
        read = read_variables(dict(zip(names, ("a=all", "a=traces"), strict=True)))
        assert read.headers == {"a": "traces"}

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret-without-a-name"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "=secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "two words=secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "key=secret%0d%0ahost: another"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "key=secret%E5%8C%97"),
            ("OTEL_RESOURCE_ATTRIBUTES", "key="),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "nan"),
        ],
    )
    def test_what_cannot_be_is_named_and_no_secret_repeated(self, name: str, text: str) -> None:
        with pytest.raises(SettingsError, match=name) as refusal:
            read_variables({name: text})
        assert "secret" not in str(refusal.value)
