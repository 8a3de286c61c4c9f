"""The benchmark must be right before anybody believes it: arithmetic, and a short run without a gateway."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import engine, running
from bench.loadgen import EventCounter, Load, Sample, drive, figures, percentile, request_bytes
from bench.processes import Process
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Listen, Point, Script

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


class TestArithmetic:
    @pytest.mark.parametrize(
        ("count", "share", "expected"),
        [(0, 0.5, 0), (1, 0.99, 1), (4, 0.5, 2), (100, 0.99, 99), (1000, 0.99, 990)],
    )
    def test_percentile_is_the_nearest_rank(self, count: int, share: float, expected: float) -> None:
        assert percentile(list(range(count, 0, -1)), share) == expected

    def test_calls_that_never_ended_are_errors(self) -> None:
        samples = [Sample(0.010, 0.002, 5, 3, is_good=True), Sample(0.030, 0.004, 1, 0, is_good=False)]
        result = figures(samples, wanted=4, seconds=2.0)
        assert (result.requests, result.errors, result.events, result.tokens) == (2, 3, 6, 3)
        assert (result.calls_per_s, result.tokens_per_s) == (1.0, 1.5)
        assert (result.p50_ms, result.p99_ms, result.first_byte_p50_ms) == (10, 30, 2)

    @given(st.lists(st.integers(1, 200)))
    def test_events_are_counted_over_any_slicing(self, sizes: Sequence[int]) -> None:
        events = [b'data: {"n":%d}\n\n' % number for number in range(20)]
        stream = b"".join([*events, b'data: {"usage":{"completion_tokens":20}}\n\n', b"data: [DONE]\n\n"])
        counter = EventCounter()
        for size in sizes:
            counter.feed(stream[:size])
            stream = stream[size:]
        counter.feed(stream)
        assert (counter.events, counter.tokens, counter.is_complete) == (22, 20, True)

    def test_request_has_the_length_that_it_announces(self) -> None:
        head, _, body = request_bytes(Load(address="http://h:1", stream=True, exact_tokens=True)).partition(
            b"\r\n\r\n"
        )
        assert f"content-length: {len(body)}".encode() in head
        assert json.loads(body)["min_tokens"] == json.loads(body)["max_tokens"] == 64


@asynccontextmanager
async def load_on(replica: FakeReplica) -> AsyncIterator[Load]:
    async with replica:
        yield Load(address=replica.url, requests=20, connections=4, tokens=8, timeout_s=5)


class TestLoad:
    async def test_streams_are_counted_as_the_replica_sent_them(self) -> None:
        replica = FakeReplica()
        async with load_on(replica) as load:
            result = await drive(replace(load, stream=True))
        assert (result.requests, result.errors, replica.requests) == (20, 0, 20)
        assert result.tokens == 20 * 8
        assert result.events == 20 * (1 + 8 + 1 + 1)  # role, tokens, usage, [DONE]
        assert 0 < result.first_byte_p50_ms <= result.p50_ms <= result.p99_ms < 5000
        assert replica.record.connections == 4

    async def test_embedding_calls_over_a_unix_socket(self, tmp_path: Path) -> None:
        replica = FakeReplica(FakeModel(kind="embedding"), listen=Listen(uds=tmp_path / "s"))
        async with load_on(replica) as load:
            result = await drive(replace(load, kind="embeddings"))
        assert (result.requests, result.errors) == (20, 0)

    async def test_calls_through_the_relay_of_bytes_come_whole(self, tmp_path: Path) -> None:
        async with load_on(FakeReplica(listen=Listen(uds=tmp_path / "s"))) as load:
            with engine.relay(load.address) as address:
                result = await drive(replace(load, address=address, stream=True))
        assert (result.requests, result.errors, result.tokens) == (20, 0, 20 * 8)

    @pytest.mark.parametrize(
        "script",
        [
            Script(status=500),
            Script(fault=Fault.CLOSE),
            Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=3),
            Script(raw="nonsense"),
            Script(events=("data: [DONE]\n\n",)),
        ],
    )
    async def test_every_broken_stream_is_an_error(self, script: Script) -> None:
        async with load_on(FakeReplica(script=script)) as load:
            result = await drive(replace(load, stream=True))
        assert result.errors == 20

    async def test_unreachable_server_and_hanging_calls_are_errors(self) -> None:
        async with load_on(FakeReplica(script=Script(fault=Fault.HANG))) as load:
            hanging = await drive(replace(load, timeout_s=0.1))
        refused = await drive(load)
        assert hanging.errors == refused.errors == 20

    def test_quick_run_against_the_mock_is_sane(self) -> None:
        with running.mock_replica() as address:
            plain = running.run_load(Load(address=address, requests=2000))
            streamed = running.run_load(Load(address=address, requests=100, stream=True))
        assert plain.errors == streamed.errors == 0
        assert plain.calls_per_s > 500
        assert streamed.tokens == 6400
        assert 0 < plain.p50_ms < 1000

    def test_held_streams_stay_open_while_memory_is_read(self) -> None:
        with running.mock_replica("--itl-ms", "1000") as address:
            opened, rss = running.open_streams_rss(address, Process(os.getpid()), 20)
        assert opened == 20
        assert rss > 10 * 2**20


def test_program_prints_figures_as_json() -> None:
    async def run() -> bytes:
        async with FakeReplica() as replica:
            load = json.dumps({"address": replica.url, "requests": 2, "connections": 1})
            program = await asyncio.create_subprocess_exec(
                sys.executable, str(running.LOADGEN), load, stdout=subprocess.PIPE
            )
            return (await program.communicate())[0]

    assert json.loads(asyncio.run(run()))["errors"] == 0
