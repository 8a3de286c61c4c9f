"""The generator of many streams: every event counted and timed over any slicing, nothing lost unseen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import open_streams
from bench.streamgen import Crowd, CrowdFigures, Notes, Stream, hold, quantile
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Point, Script
from lmaas_gateway.testing.fast import FastReplica, FastReplies
from lmaas_gateway.testing.pacing import Timing

CROWD = Crowd(address="", streams=10, tokens=40, opens_per_s=200, settle_s=0.1, window_s=0.4, timeout_s=5)


class Pipe(asyncio.Transport):
    """A connection that leads nowhere."""

    def write(self, data: object) -> None:
        pass

    def close(self) -> None:
        pass


def fed(pieces: Sequence[bytes], tokens: int) -> Stream:
    """Feed a stream piece by piece, as a socket would."""

    async def feed() -> Stream:
        stream = Stream(b"", tokens, Notes(is_window=True))
        stream.connection_made(Pipe())
        for piece in pieces:
            stream.data_received(piece)
        stream.connection_lost(None)
        return stream

    return asyncio.run(feed())


def reply(tokens: int, status: bytes = b"200 OK") -> bytes:
    events = [b'data: {"content":" %015d"}\n\n' % number for number in range(tokens + 2)]
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in (*events, b"data: [DONE]\n\n")]
    head = b"HTTP/1.1 %b\r\ntransfer-encoding: chunked\r\n\r\n" % status
    return head + b"".join(chunks) + b"0\r\n\r\n"


class TestStream:
    @given(st.lists(st.integers(1, 90)))
    def test_whole_stream_is_whole_over_any_slicing(self, sizes: Sequence[int]) -> None:
        left, pieces = reply(5), []
        for size in sizes:
            pieces.append(left[:size])
            left = left[size:]
        assert fed([*pieces, left], 5).is_whole

    @pytest.mark.parametrize(
        "data",
        [
            reply(5)[:-5],
            reply(4),
            reply(5, b"503 Service Unavailable"),
            reply(5).replace(b"[DONE]", b"{}"),
            b"",
        ],
    )
    def test_anything_less_is_not(self, data: bytes) -> None:
        assert not fed([data], 5).is_whole


@asynccontextmanager
async def fast_replica(timing: Timing) -> AsyncIterator[Crowd]:
    replica = FastReplica(FastReplies.of(FakeModel()), timing)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(replica.connect, "127.0.0.1", 0) as server:
        yield replace(CROWD, address=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


class TestHold:
    async def test_gaps_and_delays_are_those_of_the_replica(self) -> None:
        async with fast_replica(Timing(token_gap_s=0.02, is_stamped=True)) as crowd:
            result = await hold(crowd)
        assert (result.opened, result.unfinished, result.failed_probes) == (10, 0, 0)
        assert 100 < result.events <= 300
        assert 10 < result.gap_p50_ms < 40
        assert 0 < result.delay_p50_ms < 20
        assert result.gap_p99_ms <= result.longest_silence_ms < 1000
        assert 0 < result.first_event_p50_ms < 200

    async def test_streams_that_break_or_never_begin_are_seen(self) -> None:
        breaks = Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=3)
        async with FakeReplica(script=breaks) as replica:
            broken = await hold(replace(CROWD, address=replica.url))
        refused = await hold(replace(CROWD, address=replica.url))
        assert (broken.opened, broken.unfinished) == (10, 10)
        assert (refused.opened, refused.unfinished) == (0, 10)
        assert refused.failed_probes > 0

    async def test_a_stream_that_falls_silent_is_told_by_its_silence(self) -> None:
        hangs = Script(fault=Fault.HANG, fault_at=Point.AFTER_EVENTS, fault_events=1)
        async with FakeReplica(script=hangs) as replica:
            begun_s = time.monotonic()
            result = await hold(replace(CROWD, address=replica.url, streams=2, timeout_s=0.2))
        assert result.longest_silence_ms >= 400
        assert result.unfinished == 2
        assert time.monotonic() - begun_s < 3


def row(gateway: str, gap_ms: float, delay_ms: float, **changes: int) -> open_streams.Row:
    figures = CrowdFigures(
        opened=1000,
        unfinished=0,
        events=200_000,
        seconds=10,
        gap_p50_ms=50,
        gap_p99_ms=gap_ms,
        longest_silence_ms=80,
        delay_p50_ms=0.2,
        delay_p99_ms=delay_ms,
        first_event_p50_ms=1,
        first_event_p99_ms=2,
        failed_probes=0,
    )
    return open_streams.Row(
        gateway=gateway,
        streams=1000,
        tokens_per_s=20,
        groups=0,
        figures=replace(figures, **changes),
        cpu_share=0.5,
        rss_bytes=70_000_000,
    )


class TestSection:
    def test_what_is_added_is_the_larger_of_gap_and_way(self) -> None:
        rows = open_streams.Rows((row("direct", 52, 1), row("lmaas", 54, 4), row("smg", 99, 99)))
        added, silence, lost = open_streams.judge(rows)
        assert (added.measured, silence.measured, lost.measured) == (3, 80, 0)

    def test_streams_that_never_opened_count_as_lost(self) -> None:
        rows = open_streams.Rows((row("direct", 52, 1), row("lmaas", 54, 4, opened=998, unfinished=1)))
        assert open_streams.judge(rows)[2].measured == 3

    def test_a_window_without_all_events_is_no_measurement(self) -> None:
        rows = open_streams.Rows((row("direct", 52, 1), row("lmaas", 54, 4, events=100_000)))
        assert {verdict.word for verdict in open_streams.judge(rows)} == {"not measured"}
        assert "lmaas (not all events came)" in open_streams.describe(rows)

    def test_rounds_are_told_by_their_median_but_what_must_not_happen_by_its_worst(self) -> None:
        rounds = [row("lmaas", 54, 4), row("lmaas", 90, 117, unfinished=1), row("lmaas", 55, 5, opened=999)]
        figures = open_streams.together(rounds).figures
        assert (figures.gap_p99_ms, figures.delay_p99_ms) == (55, 5)
        assert (figures.unfinished, figures.opened) == (1, 999)

    def test_page_tells_what_one_core_carries(self) -> None:
        text = open_streams.describe(open_streams.Rows((row("direct", 52, 1), row("lmaas", 54, 4))))
        assert "| 1,000 of 20/s | lmaas |" in text
        assert "| 50% | - | 40,000 | 70 |" in text

    def test_quantiles_of_nothing_are_nothing(self) -> None:
        assert quantile([], 0.5) == 0
