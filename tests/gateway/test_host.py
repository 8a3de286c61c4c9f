"""What launched engines take of this machine: their processes, and their GPUs as NVIDIA's tool tells."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.host import Engine, HostWatch
from lmaas_gateway.host.gpus import Gpu, ask_gpus, find_tool, read_gpus
from lmaas_gateway.host.processes import Footprint, look_at, visible_gpus
from lmaas_gateway.live import Live
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.settings import TimeoutSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
UUID = "GPU-00000000-0000-0000-0000-000000000000"
# Recorded under load, ids masked: H100 80GB HBM3 with driver 590.48.01, and an H200 divided by MIG.
H100 = f"0, {UUID}, 100, 631.95, 19818\n"
H100_APPS = f"{UUID}, 11327, 2566\n{UUID}, 11328, 1542\n{UUID}, 11345, 15690\n"
H200_MIG = f"0, {UUID}, [N/A], 295.01, 16959\n"
WITH_UNITS = f"0, {UUID}, 9 %, 110.23 W, 1235 MiB\n"
NO_PERMISSION = f"{UUID}, [Insufficient Permissions], [Insufficient Permissions]\n"


class TestTool:
    """What `nvidia-smi` prints."""

    def test_card_tells_its_use_power_memory_and_processes(self) -> None:
        (gpu,) = read_gpus(H100, H100_APPS)
        assert gpu == Gpu(
            "0", UUID, 1.0, 631.95, 19818 * MIB, {11327: 2566 * MIB, 11328: 1542 * MIB, 11345: 15690 * MIB}
        )

    def test_what_is_not_told_is_none(self) -> None:
        (gpu,) = read_gpus(H200_MIG, NO_PERMISSION)
        assert (gpu.utilization, gpu.power_w, gpu.processes) == (None, 295.01, {})
        (gpu,) = read_gpus(f"0, {UUID}, [Not Supported], [Unknown Error], [N/A]", f"{UUID}, 7, [N/A]")
        assert gpu == Gpu("0", UUID, processes={7: 0.0})

    def test_units_may_stand_behind_numbers(self) -> None:
        (gpu,) = read_gpus(WITH_UNITS, "")
        assert (gpu.utilization, gpu.power_w, gpu.memory_bytes) == (0.09, 110.23, 1235 * MIB)

    @pytest.mark.parametrize("text", ["", "\n", "No devices were found\n", "a, b, c", "1, 2, 3, 4, 5, 6, 7"])
    def test_what_is_no_row_is_left_out(self, text: str) -> None:
        assert read_gpus(text, text) == ()

    async def test_is_run_for_gpus_and_for_processes(self, tmp_path: Path) -> None:
        (tmp_path / "gpus").write_text(H100)
        (tmp_path / "apps").write_text(H100_APPS)
        tool = script(
            tmp_path,
            f'case "$1" in --query-gpu=*) cat {tmp_path}/gpus;; --query-compute*) cat {tmp_path}/apps;; esac',
        )
        assert await ask_gpus(tool) == read_gpus(H100, H100_APPS)

    async def test_that_fails_or_is_not_there_tells_nothing(self, tmp_path: Path) -> None:
        assert await ask_gpus(script(tmp_path, "echo broken; exit 9")) == ()
        assert await ask_gpus(str(tmp_path / "missing")) == ()

    async def test_that_does_not_answer_is_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmaas_gateway.host.gpus._TIMEOUT_S", 0.2)
        assert await ask_gpus(script(tmp_path, "exec sleep 60")) == ()

    def test_is_found_on_the_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_tool() is None
        tool = script(tmp_path, "exit 0", name="nvidia-smi")
        assert find_tool() == tool


def script(folder: Path, text: str, name: str = "tool") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child, both of which hold some memory."""
    child = "import sys; held = bytearray(20_000_000); print('here', flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"CUDA_VISIBLE_DEVICES": "0, GPU-x"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.communicate(b"")


class TestProcesses:
    """What an engine's processes take."""

    def test_those_that_it_started_count(self, family: subprocess.Popen[bytes]) -> None:
        found = look_at(family.pid)
        assert found is not None
        assert len(found.pids) == 2
        assert family.pid in found.pids
        assert found.memory_bytes > 20_000_000
        assert found.cpu_since(None) > 0
        assert found.cpu_since(found) == 0

    def test_that_is_gone_is_none(self, family: subprocess.Popen[bytes]) -> None:
        family.communicate(b"")
        assert look_at(family.pid) is None
        assert visible_gpus(family.pid) == frozenset()

    def test_tell_which_gpus_they_were_given(self, family: subprocess.Popen[bytes]) -> None:
        assert visible_gpus(family.pid) == {"0", "GPU-x"}

    def test_that_comes_later_under_the_same_id_is_counted_anew(self) -> None:
        earlier = Footprint(frozenset({7}), 0, {(7, 1.0): 10.0})
        later = Footprint(frozenset({7, 8}), 0, {(7, 2.0): 3.0, (8, 2.0): 1.0})
        assert later.cpu_since(earlier) == 4.0


ENGINE = Engine("chat", "chat-0", 11327)


def footprint(cpu_s: float = 1.0) -> Footprint:
    return Footprint(frozenset({11327, 11345}), 5 * MIB, {(11327, 1.0): cpu_s})


class TestWatch:
    """What stands in the metrics."""

    async def test_cpu_memory_and_gpus_stand_by_replica(self) -> None:
        looks = iter((footprint(2.0), footprint(5.0), None))

        async def ask(tool: str) -> tuple[Gpu, ...]:
            assert tool == "nvidia-smi"
            return read_gpus(H100, H100_APPS)

        metrics = Metrics()
        watch = HostWatch(lambda: [ENGINE], look=lambda _: next(looks), tool="nvidia-smi", ask=ask)
        watch.report_to(metrics)
        await watch.look()
        await watch.look()
        text = render(metrics).decode()
        place = 'model="chat",replica="chat-0"'
        assert f"lmaas_replica_cpu_seconds_total{{{place}}} 5.0" in text
        assert metrics.gauge(names.REPLICA_MEMORY) == {("chat", "chat-0"): 5 * MIB}
        assert f'lmaas_replica_gpu_utilization_ratio{{gpu="0",{place}}} 1.0' in text
        assert f'lmaas_replica_gpu_power_watts{{gpu="0",{place}}} 631.95' in text
        (held,) = metrics.gauge(names.REPLICA_GPU_MEMORY).values()
        assert held == (2566 + 15690) * MIB
        await watch.look()
        assert metrics.gauge(names.REPLICA_MEMORY) == {}

    async def test_in_a_container_that_hides_processes_the_given_gpus_count(
        self, family: subprocess.Popen[bytes]
    ) -> None:
        async def ask(_: str) -> tuple[Gpu, ...]:
            other = "1, GPU-other, 7, 80, 10\n2, GPU-x, [N/A], [N/A], [N/A]\n"
            return read_gpus(H100 + other, "")

        metrics = Metrics()
        watch = HostWatch(lambda: [Engine("chat", "chat-0", family.pid)], tool="nvidia-smi", ask=ask)
        watch.report_to(metrics)
        await watch.look()
        assert metrics.gauge(names.REPLICA_GPU_MEMORY) == {("chat", "chat-0", "0"): 19818 * MIB}
        assert metrics.gauge(names.REPLICA_GPU_USE) == {("chat", "chat-0", "0"): 1.0}

    async def test_tool_that_fails_is_left_alone_for_a_minute(self) -> None:
        asked = []

        async def ask(_: str) -> tuple[Gpu, ...]:
            asked.append(1)
            return ()

        watch = HostWatch(lambda: [ENGINE], look=lambda _: footprint(), tool="nvidia-smi", ask=ask)
        for _ in range(14):
            await watch.look()
        assert len(asked) == 2

    async def test_looks_every_five_seconds_until_it_is_ended(self) -> None:
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

        watch = HostWatch(list, pause=pause)
        running = asyncio.create_task(watch.run())
        while len(pauses) < 3:
            await asyncio.sleep(0.001)
        running.cancel()
        assert set(pauses) == {5.0}

    async def test_stands_in_the_numbers_of_now(self) -> None:
        async def ask(_: str) -> tuple[Gpu, ...]:
            return read_gpus(H100, H100_APPS)

        looks = iter((footprint(1.0), footprint(3.0)))
        metrics = Metrics()
        watch = HostWatch(lambda: [ENGINE], look=lambda _: next(looks), tool="nvidia-smi", ask=ask)
        watch.report_to(metrics)
        await watch.look()
        now_s = [100.0]
        pool = Pool("chat", "chat", (replica(),), 0)
        live = Live(metrics, lambda: {"chat": pool}, clock=lambda: now_s[0])
        await watch.look()
        now_s[0] += 1
        live.look()
        host = live.snapshot(10).models[0].replicas[0].host
        assert host is not None
        assert (host.cpu_cores, host.memory_bytes) == (2.0, 5 * MIB)
        assert [(gpu.index, gpu.power_w) for gpu in host.gpus] == [("0", 631.95)]


def replica() -> Replica:
    return Replica("chat-0", ReplicaClient(Address("localhost", 9), timeouts=TimeoutSettings()))
