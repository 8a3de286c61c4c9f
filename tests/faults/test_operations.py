"""What happens to the gateway itself: F25, F28 to F30, F32, F34."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.live_gateway import command_line, descendants
from faults import jumping_clock
from faults.clients import ASK, asking
from faults.gateways import GatewayProcess, config_of, get, metric
from faults.world import QUICK, replicas_here, world_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faults.world import World


def process_of(world: World) -> GatewayProcess:
    assert isinstance(world.gateway, GatewayProcess)
    return world.gateway


@pytest.mark.fault("F29")
async def test_jumping_wall_clock_moves_no_deadline_and_no_duration(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    jumping_clock.set_offset(offset, 0)
    command = ("-P", jumping_clock.__file__, str(offset))
    async with (
        replicas_here(2, token_gap_s=0.02) as replicas,
        world_of(*replicas, process_in=tmp_path, command=command) as world,
    ):
        asked = [asyncio.create_task(world.history.call(asking(stream=True, tokens=60))) for _ in range(20)]
        for jump_s in (3600, -3600, 7200, 0, -86400):
            jumping_clock.set_offset(offset, jump_s)
            await asyncio.sleep(0.2)
        told = await asyncio.gather(*asked)
        hung = await world.history.call(asking(fault="hang"))
        assert {one.outcome for one in told} == {"ok"}
        assert hung.code == "replica_timeout"
        assert hung.took_s < 2 * QUICK["first_byte_s"] + 1.5, "two replicas, a deadline each"
        await world.until(lambda: len(world.gateway.access_log()) >= 25)
        for one in (*told, hung):
            line = world.line_of(one)
            assert 0 < line["duration_ms"] / 1e3 <= one.took_s + 0.1
        logged = datetime.fromisoformat(world.line_of(hung)["time"])
        assert abs((datetime.now(UTC) - logged).total_seconds() - 86400) < 60, (
            "the log follows the wall clock"
        )
        assert (await get(world.gateway.port, "/readyz")).status == 200


@pytest.mark.alone
@pytest.mark.fault("F32")
async def test_sigterm_under_load_ends_every_call_whole_or_retryable(tmp_path: Path) -> None:
    async with (
        replicas_here(2) as replicas,
        world_of(
            *replicas, process_in=tmp_path, shutdown_timeout_s=3, deadline_s=60, timeouts={"first_byte_s": 30}
        ) as world,
    ):
        short = [asking(stream=True, tokens=20, token_gap_s=0.05) for _ in range(250)]
        long = [asking(stream=True, tokens=2000, token_gap_s=0.1) for _ in range(250)]
        asked = [asyncio.create_task(world.history.call(one)) for one in (*short, *long)]
        await world.until(
            lambda: world.history.has_begun(500),
            within_s=40,
        )
        world.is_stopped = True
        process_of(world).signal(signal.SIGTERM)
        told = await asyncio.gather(*asked)
        assert await process_of(world).ended() == 0
        assert {(one.outcome, one.code) for one in told[:250]} == {("ok", "")}
        assert {(one.outcome, one.code) for one in told[250:]} == {("interrupted", "server_shutting_down")}
        assert all(
            json.loads(one.events[-1].removeprefix(b"data: "))["error"]["retryable"] for one in told[250:]
        )
        log = world.gateway.access_log()
        assert len(log) == 500 + 4, "every call has its line, those of the warm-up too"
        cut = [line for line in log if line["outcome"] == "interrupted"]
        assert len(cut) == 250
        assert all(line["usage_estimated"] for line in cut)


@pytest.mark.fault("F32")
async def test_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, shutdown_timeout_s=30) as world,
    ):
        asked = asyncio.create_task(world.history.call(asking(stream=True, tokens=2000, token_gap_s=0.1)))
        await world.until(lambda: world.history.has_begun(1))
        world.is_stopped = True
        process_of(world).signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        process_of(world).signal(signal.SIGTERM)
        assert await process_of(world).ended(within_s=20) == 0
        told = await asked
        assert (told.outcome, told.code) == ("interrupted", "server_shutting_down")


@pytest.mark.fault("F32")
async def test_killed_worker_is_replaced_and_only_its_own_calls_are_lost(tmp_path: Path) -> None:
    async with (
        replicas_here(2) as replicas,
        world_of(*replicas, process_in=tmp_path, workers=2, deadline_s=60, timeouts={"idle_s": 30}) as world,
    ):
        world.is_stopped = True  # its parts come and go, so descriptors and tasks say nothing
        asked = [
            asyncio.create_task(world.history.call(asking(stream=True, tokens=60, token_gap_s=0.03)))
            for _ in range(40)
        ]
        await world.until(lambda: world.history.has_begun(40))
        victim = workers_of(process_of(world).pid)[0]
        os.kill(victim, signal.SIGKILL)
        told = await asyncio.gather(*asked)
        lost = [one for one in told if one.outcome == "lost"]
        assert {one.outcome for one in told} <= {"ok", "lost"}
        assert len(lost) < 40
        for one in lost:
            assert not one.is_done
            world.history.calls.remove(one)  # excused: their worker was killed
        await world.until(lambda: len(workers_of(process_of(world).pid)) == 2, within_s=20)
        async with world.sdk(max_retries=3) as client:
            replies = await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(10)))
        assert all(reply.choices[0].finish_reason for reply in replies)


def workers_of(pid: int) -> list[int]:
    """The worker processes of a gateway."""
    return [child for child in descendants(pid) if b"spawn_main" in b" ".join(command_line(child))]


LIMITED = (
    "-c",
    "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
    "from lmaas.cli import main; sys.exit(main())",
)


@pytest.mark.fault("F34")
async def test_exhausted_descriptors_refuse_and_recover(tmp_path: Path) -> None:
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, command=LIMITED) as world,
    ):
        sockets = []
        for _ in range(200):
            try:
                async with asyncio.timeout(0.5):
                    sockets.append(await asyncio.open_connection("127.0.0.1", world.gateway.port))
            except (OSError, TimeoutError):
                continue
        await asyncio.sleep(0.5)
        assert process_of(world).code is None, "it must not crash"
        for _, writer in sockets:
            writer.transport.abort()
        await world.until_ready(within_s=10)
        world.pulse.clear()  # excused: there was no descriptor for it
        assert (await world.history.call(asking())).outcome == "ok"
        assert (await world.history.call(asking(stream=True))).outcome == "ok"


@pytest.mark.fault("F34")
async def test_stalled_event_loop_loses_no_stream_and_shows_in_a_metric(tmp_path: Path) -> None:
    async with (
        replicas_here(2, token_gap_s=0.05) as replicas,
        world_of(*replicas, process_in=tmp_path, timeouts={**QUICK, "idle_s": 1.0}) as world,
    ):
        asked = [asyncio.create_task(world.history.call(asking(stream=True, tokens=40))) for _ in range(30)]
        await world.until(lambda: world.history.has_begun(30))
        process_of(world).signal(signal.SIGSTOP)
        await asyncio.sleep(2)
        process_of(world).signal(signal.SIGCONT)
        told = await asyncio.gather(*asked)
        assert {one.outcome for one in told} == {"ok"}
        late = await metric(world.gateway.port, "lmaas_event_loop_lag_seconds_bucket", le="+Inf")
        in_time = await metric(world.gateway.port, "lmaas_event_loop_lag_seconds_bucket", le="1.0")
        assert late - in_time >= 1


FULL = """
import os, subprocess, sys
folder = sys.argv.pop(1)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=True)
for number, name in ((1, "stdout"), (2, "stderr")):
    os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
from lmaas.cli import main
sys.exit(main())
"""


class OnSmallDisk(GatewayProcess):
    """A gateway whose output goes to a disk of 256 KiB, which nobody else sees."""

    def __init__(
        self, folder: Path, config: dict[str, Any], command: Sequence[str] = (), under: Sequence[str] = ()
    ) -> None:
        self._disk = folder / "disk"
        self._disk.mkdir()
        super().__init__(folder, config, command or ("-c", FULL, str(self._disk)), under or ("unshare", "-m"))

    @property
    def output(self) -> Path:
        return Path(f"/proc/{self.pid}/root{self._disk}")


def fill(filler: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert filler.stat().st_size > 2**16


@pytest.mark.fault("F28")
async def test_full_disk_stops_no_call_and_leaves_whole_lines(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "a disk of its own needs root; run this test as root"
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, process_class=OnSmallDisk) as world,
    ):
        output = process_of(world).output
        filler = output / "filler"
        fill(filler)
        told = await world.history.calls_of(*[asking(stream=n % 2 == 0) for n in range(200)])
        assert {one.outcome for one in told} == {"ok"}
        await asyncio.sleep(0.3)
        filler.unlink()
        after = [await world.history.call(asking()) for _ in range(3)]
        await world.until(lambda: after[-1].request_id.encode() in (output / "stdout").read_bytes())
        logged = {line["request_id"] for line in world.gateway.access_log()}
        assert {one.request_id for one in after} <= logged
        world.history.calls = [one for one in world.history.calls if one.request_id in logged]


@pytest.mark.fault("F30")
async def test_bad_configuration_never_takes_effect_and_fails_no_call(tmp_path: Path) -> None:
    async with (
        replicas_here(2, token_gap_s=0.01) as replicas,
        world_of(*replicas, process_in=tmp_path) as world,
    ):
        gateway = process_of(world)
        good = gateway.config.read_text()
        source = random.Random(30)
        bad = [good[: source.randrange(1, len(good) - 1)] for _ in range(20)]
        bad += ["", "[]", "models: 7", "\x00", good.replace("mock", "").replace("url", "uri"), "port: -1"]
        asked = [asyncio.create_task(world.history.call(asking(stream=True, tokens=150))) for _ in range(20)]
        for text in bad:
            gateway.config.write_text(text)
            gateway.signal(signal.SIGHUP)
            await asyncio.sleep(0.03)
        gateway.config.unlink()
        gateway.signal(signal.SIGHUP)
        await asyncio.sleep(0.1)
        assert {one.outcome for one in await asyncio.gather(*asked)} == {"ok"}
        assert (await world.history.call(asking())).outcome == "ok"
        await world.until(lambda: "models" in gateway.log())
        refused = await metric(world.gateway.port, "lmaas_config_reloads_total", result="refused")
        assert refused >= 1
        gateway.config.write_text(good)


@pytest.mark.fault("F30")
async def test_fifty_reloads_a_second_under_load_fail_no_call(tmp_path: Path) -> None:
    async with (
        replicas_here(2, token_gap_s=0.01) as replicas,
        world_of(*replicas, process_in=tmp_path) as world,
    ):
        gateway = process_of(world)
        urls = [replica.url for replica in replicas]
        asked = []
        for number in range(100):
            gateway.write_config(
                config_of(urls, {"timeouts": {**QUICK, "total_s": 9.0 + number / 100}, "model": {}})
            )
            gateway.signal(signal.SIGHUP)
            asked.append(asyncio.create_task(world.history.call(asking(stream=number % 2 == 0, tokens=20))))
            await asyncio.sleep(0.02)
        told = await asyncio.gather(*asked)
        assert {(one.outcome, one.code) for one in told} == {("ok", "")}
        assert await metric(world.gateway.port, "lmaas_config_reloads_total", result="refused") == 0
        assert await metric(world.gateway.port, "lmaas_config_reloads_total", result="changed") >= 1
