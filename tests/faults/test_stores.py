"""What happens to the stores: the database (F26), Valkey (F27), the disk under SQLite (F28).

Whatever becomes of them, calls are served, nobody waits for a store, and in the end the books are whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from faults.clients import KEY, asking
from faults.gateways import OPERATOR, GatewayProcess, administer, get, metric, new_project
from faults.world import replicas_here, world_of
from lmaas_gateway.testing.fault_proxy import FaultProxy
from lmaas_gateway.testing.toxics import Latency, Timeout
from support.stores import migrated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from faults.clients import Told
    from faults.world import World
    from support.store_servers import PostgresServer, ValkeyServer

_PATIENCE_S = 60.0
_CLIENTS = 8
# One connection, so that what a gateway holds is the same before and after.
_STORAGE: dict[str, Any] = {"connections": 1, "breaker_open_s": 0.5}


def _settings(tmp_path: Path, url: str, **storage: Any) -> dict[str, Any]:
    return {
        "open": False,
        "data_dir": str(tmp_path / "data"),
        "storage": {"url": url, **_STORAGE, **storage},
        "books": {"ship_interval_s": 0.2},
    }


def _booked_in_postgres(server: PostgresServer) -> dict[str, int]:
    if not server.run("SELECT to_regclass('ledger')"):
        return {}
    lines = server.run("SELECT request_id, completion_tokens FROM ledger").splitlines()
    return {request: int(tokens) for request, _, tokens in (line.partition("|") for line in lines)}


async def _load(world: World, *, seconds: float, key: str = KEY, **script: Any) -> list[Told]:
    """Calls of several clients, each one after the other."""
    until_s = asyncio.get_running_loop().time() + seconds
    told: list[Told] = []

    async def client() -> None:
        while asyncio.get_running_loop().time() < until_s:
            told.append(await world.history.call(asking(stream=len(told) % 2 == 0, **script), key=key))

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    return told


async def _until_booked(told: Sequence[Told], booked: Callable[[], dict[str, int]]) -> None:
    """Wait until the ledger has every call, with the tokens that its client got."""
    expected = {one.request_id: one.tokens for one in told}
    found: dict[str, int] = {}
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not expected.items() <= found.items():
                await asyncio.sleep(0.2)
                found = await asyncio.to_thread(booked)
    except TimeoutError:
        missing = dict(expected.items() - found.items())
        raise AssertionError(f"{len(missing)} of {len(expected)} calls are not booked: {missing}") from None


def _slowest_s(told: Sequence[Told]) -> float:
    """Give the longest time but for one call in a hundred and a pause of the machine, in which all wait."""
    return sorted(one.took_s for one in told)[-_CLIENTS - max(1, len(told) // 100)]


async def _stores(world: World) -> dict[str, str]:
    stores: dict[str, str] = (await get(world.gateway.port, "/readyz")).json["stores"]
    return stores


@pytest.mark.fault("F26")
async def test_gateway_starts_without_its_database_and_catches_up_when_it_comes(
    tmp_path: Path, new_postgres: Callable[[], PostgresServer]
) -> None:
    server = new_postgres()
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, **_settings(tmp_path, server.url())) as world,
    ):
        told = await _load(world, seconds=1.0)
        assert {one.outcome for one in told} == {"ok"}
        assert (await get(world.gateway.port, "/readyz")).status == 200
        await asyncio.to_thread(server.start)
        await _until_booked(told, lambda: _booked_in_postgres(server))
        await world.settle()
        # Reads and writes have breakers of their own, and each closes with its own next trial.
        async with asyncio.timeout(_PATIENCE_S):
            while set((await _stores(world)).values()) != {"closed"}:
                await asyncio.sleep(0.1)


@pytest.mark.fault("F26")
@pytest.mark.parametrize("end", ["kill", "hang"])
async def test_database_that_dies_or_hangs_under_load_delays_no_call_and_loses_none(
    tmp_path: Path, new_postgres: Callable[[], PostgresServer], end: str
) -> None:
    server = new_postgres()
    await asyncio.to_thread(server.start)
    # A call that waited for the database would wait so long that no pause of the machine looks like it.
    settings = _settings(tmp_path, server.url(), deadline_s=5.0)
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, **settings) as world,
    ):
        before = await _load(world, seconds=1.0)
        await world.settle()
        await asyncio.to_thread(server.kill if end == "kill" else server.pause)
        during = await _load(world, seconds=4.0)
        assert (await get(world.gateway.port, "/readyz")).status == 200
        await asyncio.to_thread(server.start if end == "kill" else server.resume)
        after = await _load(world, seconds=1.0)
        told = [*before, *during, *after]
        assert {one.outcome for one in told} == {"ok"}
        assert _slowest_s(during) < 2 * _slowest_s([*before, *after]) + 1.0
        await _until_booked(told, lambda: _booked_in_postgres(server))
        assert server.run("SELECT sum(calls) FROM usage_days") == server.run("SELECT count(*) FROM ledger")


@pytest.mark.fault("F26")
async def test_without_the_database_known_keys_serve_revoked_ones_do_not_and_new_ones_are_told_to_wait(
    tmp_path: Path, new_postgres: Callable[[], PostgresServer]
) -> None:
    server = new_postgres()
    await asyncio.to_thread(server.start)
    settings = _settings(tmp_path, server.url()) | {"admin_key": OPERATOR, "identity": {"cache_s": 1.0}}
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, **settings) as world,
    ):
        port = world.gateway.port
        project = await new_project(port)
        known, revoked, unseen = [
            await administer(port, "POST", "/keys", {"project": project, "name": name})
            for name in ("known", "revoked", "unseen")
        ]
        before = [await world.history.call(asking(), key=one["secret"]) for one in (known, revoked)]
        await administer(port, "DELETE", f"/keys/{revoked['id']}")
        await world.settle()
        await asyncio.to_thread(server.kill)
        during = await _load(world, seconds=4.0, key=known["secret"])
        assert {one.outcome for one in (*before, *during)} == {"ok"}
        assert (await world.history.call(asking(), key=revoked["secret"])).status in {401, 503}
        waiting = await world.history.call(asking(), key=unseen["secret"])
        assert (waiting.status, waiting.code) == (503, "store_unavailable")
        assert "retry-after" in waiting.headers
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(_PATIENCE_S):
            while (await world.history.call(asking(), key=unseen["secret"])).outcome != "ok":
                await asyncio.sleep(0.2)
        assert (await world.history.call(asking(), key=revoked["secret"])).status == 401
        await _until_booked([*before, *during], lambda: _booked_in_postgres(server))


@pytest.mark.fault("F26")
async def test_silent_network_in_front_of_the_database_is_survived(
    tmp_path: Path, new_postgres: Callable[[], PostgresServer]
) -> None:
    server = new_postgres()
    await asyncio.to_thread(server.start)
    async with FaultProxy(f"127.0.0.1:{server.port}") as proxy, replicas_here(1) as replicas:
        url = f"postgresql://postgres@127.0.0.1:{urlsplit(proxy.url).port}/postgres"
        async with world_of(*replicas, process_in=tmp_path, **_settings(tmp_path, url)) as world:
            before = await _load(world, seconds=1.0)
            await world.settle()
            proxy.to_upstream.append(Timeout())
            during = await _load(world, seconds=4.0)
            proxy.heal()
            await proxy.down()
            await proxy.up()
            assert {one.outcome for one in (*before, *during)} == {"ok"}
            await _until_booked([*before, *during], lambda: _booked_in_postgres(server))
            assert (
                await metric(world.gateway.port, "lmaas_store_duration_seconds_count", outcome="failed") > 0
            )


def _limited(url: str, tmp_path: Path) -> dict[str, Any]:
    settings = _settings(tmp_path, f"sqlite:///{tmp_path / 'data' / 'lmaas.sqlite'}", valkey_url=url)
    key = {"name": "limited", "key": KEY, "limits": {"requests_per_minute": 100_000}}
    return settings | {"api_key": None, "keys": [key]}


async def _kill(server: ValkeyServer, _: FaultProxy) -> None:
    await asyncio.to_thread(server.kill)


async def _slow(_: ValkeyServer, proxy: FaultProxy) -> None:
    proxy.to_client.append(Latency(20.0))


@pytest.mark.fault("F27")
@pytest.mark.parametrize("fault", [_kill, _slow], ids=["killed", "slow"])
async def test_valkey_in_trouble_fails_no_call_and_delays_none(
    tmp_path: Path,
    new_valkey: Callable[[], ValkeyServer],
    fault: Callable[[ValkeyServer, FaultProxy], Awaitable[None]],
) -> None:
    server = new_valkey()
    await asyncio.to_thread(server.start)
    async with FaultProxy(f"127.0.0.1:{server.port}") as proxy, replicas_here(1) as replicas:
        url = f"redis://127.0.0.1:{urlsplit(proxy.url).port}/0"
        async with world_of(*replicas, process_in=tmp_path, **_limited(url, tmp_path)) as world:
            before = await _load(world, seconds=1.0)
            await world.settle()
            await fault(server, proxy)
            during = await _load(world, seconds=2.0)
            proxy.heal()
            assert {one.outcome for one in (*before, *during)} == {"ok"}
            # Only the calls that find it out wait, and they no longer than its deadline.
            assert _slowest_s(during) < _slowest_s(before) + 0.3


class _OnSmallDisk(GatewayProcess):
    """A gateway whose database lies on a disk of 4 MiB, which nobody else sees."""

    def __init__(
        self, folder: Path, config: dict[str, Any], command: Sequence[str] = (), under: Sequence[str] = ()
    ) -> None:
        del command, under
        self.disk = folder / "disk"
        self.disk.mkdir()
        run = "import sys; from lmaas.cli import main; sys.exit(main())"
        mount = f'mount -t tmpfs -o size=4m tmpfs {self.disk} && exec "$@"'
        super().__init__(folder, config, ("-c", run), ("unshare", "-m", "sh", "-c", mount, "sh"))

    def run(self, *command: str) -> str:
        """Run a command that sees the disk."""
        inside = ("nsenter", "-t", str(self.pid), "-m", *command)
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def query(self, statement: str) -> list[list[Any]]:
        """Read from the database, as another process does."""
        read = (
            "import json, sqlite3, sys; connection = sqlite3.connect(sys.argv[1], timeout=10); "
            "print(json.dumps(connection.execute(sys.argv[2]).fetchall()))"
        )
        path = str(self.disk / "lmaas.sqlite")
        rows: list[list[Any]] = json.loads(self.run(sys.executable, "-c", read, path, statement))
        return rows

    def booked(self) -> dict[str, int]:
        """The ledger: calls and their tokens."""
        return {row[0]: row[1] for row in self.query("SELECT request_id, completion_tokens FROM ledger")}


@pytest.mark.fault("F28")
async def test_full_disk_under_the_database_stops_no_call_and_spoils_nothing(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "a disk of its own needs root; run this test as root"
    settings = _settings(tmp_path, f"sqlite:///{tmp_path / 'disk' / 'lmaas.sqlite'}")
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, process_class=_OnSmallDisk, **settings) as world,
    ):
        gateway = world.gateway
        assert isinstance(gateway, _OnSmallDisk)
        before = await _load(world, seconds=0.5)
        await _until_booked(before, gateway.booked)
        await world.settle()
        filler = f"{gateway.disk}/filler"
        await asyncio.to_thread(gateway.run, "sh", "-c", f"cat /dev/zero > {filler} 2>/dev/null || true")
        during = await _load(world, seconds=2.0)
        assert {one.outcome for one in (*before, *during)} == {"ok"}
        assert (await get(gateway.port, "/readyz")).status == 200
        assert await metric(gateway.port, "lmaas_books_ship_failures_total") > 0
        await asyncio.to_thread(gateway.run, "rm", filler)
        await _until_booked([*before, *during], gateway.booked)
        assert await asyncio.to_thread(gateway.query, "PRAGMA integrity_check") == [["ok"]]


class _ReadOnly(GatewayProcess):
    """A gateway that finds the folder of its database read-only."""

    def __init__(
        self, folder: Path, config: dict[str, Any], command: Sequence[str] = (), under: Sequence[str] = ()
    ) -> None:
        del command, under
        disk = Path(config["storage"]["url"].removeprefix("sqlite:///")).parent
        run = "import sys; from lmaas.cli import main; sys.exit(main())"
        mount = f'mount --bind {disk} {disk} && mount -o remount,ro,bind {disk} && exec "$@"'
        super().__init__(folder, config, ("-c", run), ("unshare", "-m", "sh", "-c", mount, "sh"))


@pytest.mark.fault("F28")
async def test_read_only_database_stops_no_call_and_gets_its_books_when_it_can_be_written_again(
    tmp_path: Path,
) -> None:
    assert os.geteuid() == 0, "a disk of its own needs root; run this test as root"
    database = tmp_path / "disk" / "lmaas.sqlite"
    database.parent.mkdir()
    await asyncio.to_thread(migrated, f"sqlite:///{database}")
    settings = _settings(tmp_path, f"sqlite:///{database}")

    def booked() -> dict[str, int]:
        with contextlib.closing(sqlite3.connect(database, timeout=10)) as connection:
            return dict(connection.execute("SELECT request_id, completion_tokens FROM ledger"))

    async with replicas_here(1) as replicas:
        async with world_of(*replicas, process_in=tmp_path, process_class=_ReadOnly, **settings) as world:
            told = await _load(world, seconds=1.0)
            await world.settle()
            assert {one.outcome for one in told} == {"ok"}
            assert booked() == {}
        async with world_of(*replicas, process_in=tmp_path, **settings):
            await _until_booked(told, booked)
