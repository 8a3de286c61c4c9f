"""Whatever is killed, no process of a real engine survives it, and a living gateway gets its replica back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.processes import group_members, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

MODEL = "all-minilm-l6-v2"
GONE_WITHIN_S = 5.0
# vLLM's API server looks for its engine core every 5 s, and ends when it finds it gone.
GONE_AFTER_CORE_WITHIN_S = 5.0 + GONE_WITHIN_S
"""An API server notices by itself within 4 s that its engine core is gone."""


class Host:
    """A gateway process that launches one embedding model."""

    def __init__(self, engine_python: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("launcher_host.py")), MODEL],
            stdout=subprocess.PIPE,
            env=os.environ | {"LMAAS_ENGINE__PYTHON": engine_python},
            text=True,
        )

    def ready(self, restarts: int) -> int:
        """Wait for the replica to be ready after so many restarts; return the engine's process group."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            change = json.loads(line)
            if change["state"] == "ready" and change["restarts"] == restarts:
                return int(change["pid"])
        raise AssertionError("the launcher ended")


@pytest.fixture(scope="module")
def host(engine_python: str) -> Iterator[Host]:
    made = Host(engine_python)
    with made.process:
        yield made
        made.process.kill()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def engine_core_of(group: int) -> int:
    return next(
        pid for pid in group_members(group) if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def kill_and_time(pid: int, group: int) -> float:
    """Kill a process; return how many seconds later nothing of the group was alive."""
    assert len(group_members(group)) >= 2
    began_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not group_members(group), GONE_AFTER_CORE_WITHIN_S + 5)
    return time.monotonic() - began_at


def test_kill_9_of_any_process_leaves_no_orphan_and_the_replica_comes_back(host: Host) -> None:
    group = host.ready(restarts=0)
    assert kill_and_time(group, group) < GONE_WITHIN_S
    group = host.ready(restarts=1)
    assert kill_and_time(engine_core_of(group), group) < GONE_AFTER_CORE_WITHIN_S
    group = host.ready(restarts=2)
    assert kill_and_time(parent_of(group), group) < GONE_WITHIN_S
    group = host.ready(restarts=3)
    # Last, the gateway itself: nobody is left to start the replica again.
    assert kill_and_time(host.process.pid, group) < GONE_WITHIN_S
