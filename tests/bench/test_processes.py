"""Servers of a benchmark are measured whole and stopped whole; peers are found and started as they want."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from bench import gateways, side_by_side
from bench.awake import awake_cores
from bench.processes import Process, ServerError, serving, wait_until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


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


class TestAwakeCores:
    def test_no_wake_up_may_take_time_while_it_lasts(self, tmp_path: Path) -> None:
        (tmp_path / "latency").write_bytes(b"")
        with awake_cores(tmp_path / "latency") as is_awake:
            assert is_awake
            assert (tmp_path / "latency").read_bytes() == b"\0\0\0\0"

    def test_machine_without_it_is_measured_as_it_is(self, tmp_path: Path) -> None:
        with awake_cores(tmp_path / "latency") as is_awake:
            assert not is_awake
        assert not (tmp_path / "latency").exists()


class TestContestants:
    def test_a_peer_that_does_not_start_costs_the_others_nothing(self) -> None:
        here = Path(sys.executable)
        found = [gateways.Gateway("lmaas", "lmaas", here), gateways.Gateway("smg", "pip", here)]
        size = side_by_side.Size(rounds=1, calls=64, single_calls=50, streams=32, open_streams=8)
        said: list[str] = []
        (ours,) = side_by_side.compare(found, size, said.append)
        assert (ours.gateway, ours.errors, len(ours.rounds), ours.open_streams) == ("lmaas", 0, 1, 8)
        assert any("smg: the process has ended" in line for line in said)

    def test_peer_interpreter_comes_from_the_environment(self, tmp_path: Path) -> None:
        found = gateways.contestants({"LMAAS_BENCH_SMG": "/env/bin/python"}, names=["lmaas", "smg"])
        assert [(peer.name, str(peer.python)) for peer in found][1] == ("smg", "/env/bin/python")
        command = found[1].command(port=1, replicas=["http://127.0.0.1:2"], folder=tmp_path)
        assert command[:2] == ["/env/bin/smg", "launch"]
        assert found[0].version

    def test_a_peer_that_is_not_there_says_so(self) -> None:
        assert gateways.Gateway("smg", "smg", None).version == "not installed"

    @pytest.mark.parametrize("name", ["lmaas", "litellm", "vllm-router"])
    def test_commands_name_port_and_replica(self, name: str, tmp_path: Path) -> None:
        gateway = gateways.Gateway(name, name, Path("/env/bin/python"))
        command = gateway.command(port=8123, replicas=["http://127.0.0.1:9001"], folder=tmp_path)
        written = " ".join(command) + "".join(path.read_text() for path in tmp_path.iterdir())
        assert "8123" in command
        assert "http://127.0.0.1:9001" in written
