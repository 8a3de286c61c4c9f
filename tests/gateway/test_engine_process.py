"""Real processes: the fake engine under the real guardian."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from gateway.fake_engine import write_interpreter
from gateway.processes import eventually, group_members
from lmaas_gateway.replicas.engine_process import EngineProcess
from lmaas_gateway.replicas.probe import is_serving

if TYPE_CHECKING:
    from pathlib import Path


async def start(folder: Path, mode: str = "serve", grace_s: float = 5.0) -> EngineProcess:
    """Start a fake engine and wait until its child is there too."""
    python = write_interpreter(folder / "python")
    command = [str(python), "-m", "x", "--uds", str(folder / "a.sock"), "--fake", mode]
    engine = await EngineProcess.start(command, environ=dict(os.environ), log=folder / "log", grace_s=grace_s)
    await eventually(lambda: len(group_members(engine.pid)) == 2)
    return engine


async def test_engine_serves_and_stops_when_asked(tmp_path: Path) -> None:
    engine = await start(tmp_path)
    url = f"unix:{tmp_path}/a.sock"
    await eventually((tmp_path / "a.sock").exists)
    assert await is_serving(url)
    await engine.stop()
    assert await engine.wait() == 0
    assert group_members(engine.pid) == []


async def test_stubborn_engine_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    engine = await start(tmp_path, "stubborn", grace_s=0.2)
    await engine.stop()
    assert await engine.wait() == -signal.SIGKILL
    assert group_members(engine.pid) == []


async def test_kill_does_not_wait_for_the_engine(tmp_path: Path) -> None:
    engine = await start(tmp_path, "stubborn", grace_s=600)
    await engine.kill()
    assert group_members(engine.pid) == []


async def test_killed_guardian_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = await start(tmp_path)
    os.kill(engine._guardian.pid, signal.SIGKILL)
    assert await engine.wait() == -signal.SIGKILL
    await eventually(lambda: group_members(engine.pid) == [])


async def test_frozen_guardian_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmaas_gateway.replicas.engine_process._PATIENCE_S", 0.2)
    engine = await start(tmp_path, grace_s=0.1)
    os.kill(engine._guardian.pid, signal.SIGSTOP)
    await engine.stop()
    await eventually(lambda: group_members(engine.pid) == [])


async def test_command_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="interpreter does not run"):
        await EngineProcess.start(["/no/such/python"], environ={}, log=tmp_path / "log", grace_s=1)


async def test_cancelled_start_leaves_nothing_behind(tmp_path: Path) -> None:
    python = write_interpreter(tmp_path / "python")
    command = [str(python), "-m", "x", "--uds", str(tmp_path / "a.sock")]
    environ = os.environ | {"FAKE_ENGINE_PIDS": str(tmp_path / "pids")}
    starting = asyncio.create_task(
        EngineProcess.start(command, environ=environ, log=tmp_path / "log", grace_s=1)
    )
    await asyncio.sleep(0.02)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    pids = (tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []
    assert all(group_members(int(pid)) == [] for pid in pids)
