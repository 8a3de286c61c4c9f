"""The benchmark must be right before anybody believes it: arithmetic, and a short run without a gateway."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import engine, gateways, report, side_by_side
from bench.loadgen import EventCounter, Figures, Load, Sample, drive, figures, percentile, request_bytes
from bench.processes import Process, ServerError, serving, wait_until
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
        with side_by_side.mock_replica() as address:
            plain = side_by_side.run_load(Load(address=address, requests=2000))
            streamed = side_by_side.run_load(Load(address=address, requests=100, stream=True))
        assert plain.errors == streamed.errors == 0
        assert plain.calls_per_s > 500
        assert streamed.tokens == 6400
        assert 0 < plain.p50_ms < 1000

    def test_held_streams_stay_open_while_memory_is_read(self) -> None:
        with side_by_side.mock_replica("--itl-ms", "1000") as address:
            opened, rss = side_by_side.open_streams_rss(address, Process(os.getpid()), 20)
        assert opened == 20
        assert rss > 10 * 2**20


class TestProcesses:
    def test_cpu_and_memory_count_children(self) -> None:
        spin = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
        with serving("spin", [sys.executable, "-c", spin]) as process:
            wait_until(lambda: process.cpu_s() > 0.2, process, within_s=10)
            tree = process.tree()
            assert len(tree) == 2
            assert process.rss_bytes() > Process(tree[1]).rss_bytes() > 0
        deadline = time.monotonic() + 5
        while Path(f"/proc/{tree[1]}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(f"/proc/{tree[1]}").exists()

    def test_server_that_ends_is_reported_with_its_log(self) -> None:
        command = [sys.executable, "-c", "print('no such model')"]
        with pytest.raises(ServerError, match="no such model"), serving("short", command) as process:
            wait_until(lambda: False, process, within_s=10)

    def test_server_that_is_never_ready_is_given_up(self) -> None:
        with pytest.raises(ServerError, match="not ready after 0 s"), serving("idle", SLEEPER) as process:
            wait_until(lambda: False, process, within_s=0.1)


def round_of(cpu_us: float) -> side_by_side.Round:
    return side_by_side.Round(
        cpu_us_per_call=cpu_us,
        cpu_us_per_event=cpu_us / 10,
        calls_per_s=1e6 / cpu_us,
        p50_ms=0.2,
        p99_ms=0.9,
        added_p50_ms=0.1,
        added_p99_ms=0.5,
        errors=0,
    )


def contest(name: str, *cpu_us: float) -> side_by_side.Contest:
    return side_by_side.Contest(
        gateway=name,
        version="1",
        rounds=tuple(round_of(value) for value in cpu_us),
        idle_rss_bytes=70_000_000,
        open_streams_rss_bytes=160_000_000,
        open_streams=1000,
    )


class TestReport:
    MACHINE = report.Machine("a CPU", 2, 2**34, "Linux x86_64", "3.11")

    def measured(self, ratio: float = 0.99) -> report.Measured:
        pairs = (engine.Pair(100, 100 * ratio, 0), engine.Pair(100, 50, 0), engine.Pair(50, 60, 0))
        return report.Measured(
            date=datetime.date(2026, 1, 2),
            command="run.py",
            machine=self.MACHINE,
            load_before=0.1,
            load_after=2,
            contests=(
                contest("lmaas", 40, 60, 50),
                contest("vllm-router", 100, 90, 110),
                contest("smg", 40, 41, 39),
            ),
            engine=(engine.Comparison("streams", "tokens/s", pairs),),
            absent=("litellm",),
        )

    def test_goals_are_judged_by_medians(self) -> None:
        words = {verdict.goal: verdict.word for verdict in report.verdicts(self.measured())}
        assert words["CPU per plain call ≤ 0.65 of vllm-router's"] == "met"
        assert words["CPU per plain call ≤ 1.2 of smg's"] == "**missed**"
        assert words["RSS ≤ 80 MB idle"] == "met"
        assert words["RSS ≤ 150 MB with 1,000 open streams"] == "**missed**"
        assert words["≥ 0.98 of direct vLLM's token throughput"] == "met"

    def test_throughput_below_its_floor_is_missed(self) -> None:
        assert report.verdicts(self.measured(ratio=0.97))[-2].word == "**missed**"

    def test_what_was_not_measured_is_not_judged(self) -> None:
        nothing = replace(self.measured(), contests=(), engine=())
        assert {verdict.word for verdict in report.verdicts(nothing)} == {"not measured"}
        assert "mock replica" not in report.markdown(nothing)

    def test_peer_that_failed_calls_is_no_yardstick(self) -> None:
        ours, router, _ = self.measured().contests
        failing = replace(router, rounds=(replace(round_of(10), errors=1),))
        judged = report.verdicts(replace(self.measured(), contests=(ours, failing)))
        assert [verdict.word for verdict in judged[:4]] == ["not measured"] * 4

    def test_page_names_command_versions_ranges_and_absentees(self) -> None:
        page = report.markdown(self.measured())
        assert "`run.py`" in page
        assert "2026-01-02" in page
        assert "50.0 (40.0 to 60.0)" in page
        assert "not measured: litellm" in page
        assert "0.990 (0.500 to 1.200)" in page

    def test_machine_is_described_without_its_name(self) -> None:
        assert os.uname().nodename not in str(report.machine())
        assert report.machine().cores >= 1


class TestEngineComparison:
    def test_each_side_goes_first_every_other_round(self) -> None:
        order: list[str] = []

        def run(load: Load) -> Figures:
            order.append(load.address)
            return replace(figures([], wanted=1, seconds=1), tokens=90 if load.address == "through" else 100)

        said: list[str] = []
        turns = engine.Interleaver(2, run, said.append)
        pairs = turns.pairs(Load(address="through"), "direct", lambda result: result.tokens_per_s)
        assert order[2:] == ["direct", "through", "through", "direct"]
        assert [(pair.ratio, pair.errors) for pair in pairs] == [(0.9, 2), (0.9, 2)]
        assert said[1].endswith("round 2 of 2: 0.900 of direct")


class TestContestants:
    def test_peer_interpreter_comes_from_the_environment(self, tmp_path: Path) -> None:
        found = gateways.contestants({"LMAAS_BENCH_SMG": "/env/bin/python"}, names=["lmaas", "smg"])
        assert [(peer.name, str(peer.python)) for peer in found][1] == ("smg", "/env/bin/python")
        command = found[1].command(port=1, replica="http://127.0.0.1:2", folder=tmp_path)
        assert command[:2] == ["/env/bin/smg", "launch"]
        assert found[0].version

    def test_a_peer_that_is_not_there_says_so(self) -> None:
        assert gateways.Gateway("smg", "smg", None).version == "not installed"

    @pytest.mark.parametrize("name", ["lmaas", "litellm", "vllm-router"])
    def test_commands_name_port_and_replica(self, name: str, tmp_path: Path) -> None:
        gateway = gateways.Gateway(name, name, Path("/env/bin/python"))
        command = gateway.command(port=8123, replica="http://127.0.0.1:9001", folder=tmp_path)
        written = " ".join(command) + "".join(path.read_text() for path in tmp_path.iterdir())
        assert "8123" in command
        assert "http://127.0.0.1:9001" in written


def test_program_prints_figures_as_json() -> None:
    async def run() -> bytes:
        async with FakeReplica() as replica:
            load = json.dumps({"address": replica.url, "requests": 2, "connections": 1})
            program = await asyncio.create_subprocess_exec(
                sys.executable, str(side_by_side.LOADGEN), load, stdout=subprocess.PIPE
            )
            return (await program.communicate())[0]

    assert json.loads(asyncio.run(run()))["errors"] == 0
