"""Idempotency keys in a folder: several holders, dead ones, bounds, and a folder that fails."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.processes import eventually
from lmaas_gateway.call import Usage
from lmaas_gateway.errors import IdempotencyInFlightError, IdempotencyMismatchError, SettingsError
from lmaas_gateway.replay.bounded import Bounds
from lmaas_gateway.replay.build import build_claims, drop_shared
from lmaas_gateway.replay.folder import ReplyFolder, name_of
from lmaas_gateway.replay.replies import Recorded
from lmaas_gateway.replay.shared import FolderClaims
from lmaas_gateway.settings import IdempotencySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmaas_gateway.replay.claims import Claim, Scope

SCOPE: Scope = ("alice", "/v1/chat/completions", b"key")
BODY, OTHER_BODY = b"b" * 32, b"o" * 32
REPLY = Recorded(b"application/json", False, b'{"a":1}', Usage(3, 4))
BOUNDS = Bounds(max_bytes=10_000, max_entry_bytes=1000, max_entries=100, ttl_s=60)


class Clock:
    """Time that moves when told."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[True, False], ids=["in the loop", "on threads"])
def is_in_memory(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def holders(folder: Path, clock: Clock, is_in_memory: bool) -> Iterator[tuple[FolderClaims, FolderClaims]]:
    """Two that share a folder, as two processes do: each has its own lock."""
    both = (
        hold(folder, clock=clock, is_in_memory=is_in_memory),
        hold(folder, clock=clock, is_in_memory=is_in_memory),
    )
    yield both
    for claims in both:
        claims.close()


def hold(
    folder: Path,
    bounds: Bounds = BOUNDS,
    *,
    clock: Callable[[], float] = time.time,
    is_in_memory: bool = False,
    is_temporary: bool = False,
) -> FolderClaims:
    """Hold the folder as one process does."""
    return FolderClaims(
        ReplyFolder(folder, bounds, clock), bounds, is_in_memory=is_in_memory, is_temporary=is_temporary
    )


def sizes_bytes(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_size for path in folder.iterdir()}


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


async def taken(claims: FolderClaims, scope: Scope = SCOPE, body: bytes = BODY) -> Claim:
    found = await claims.claim(scope, body)
    assert found is not None
    assert not isinstance(found, Recorded)
    return found


async def released(claims: FolderClaims) -> None:
    """Wait until a thread has let go of what was released."""
    await asyncio.gather(*map(asyncio.wrap_future, list(claims._releasing.values())))


async def kept(claims: FolderClaims, scope: Scope = SCOPE, reply: Recorded = REPLY) -> None:
    pending = (await taken(claims, scope)).keep(reply)
    if pending is not None:
        await pending


async def test_what_one_kept_the_other_finds(holders: tuple[FolderClaims, FolderClaims]) -> None:
    one, other = holders
    await kept(one)
    assert await other.claim(SCOPE, BODY) == REPLY
    assert await one.claim(SCOPE, BODY) == REPLY
    with pytest.raises(IdempotencyMismatchError):
        await other.claim(SCOPE, OTHER_BODY)


async def test_what_one_holds_the_other_does_not_get(holders: tuple[FolderClaims, FolderClaims]) -> None:
    one, other = holders
    claim = await taken(one)
    for claims in holders:
        with pytest.raises(IdempotencyInFlightError):
            await claims.claim(SCOPE, BODY)
        with pytest.raises(IdempotencyMismatchError):
            await claims.claim(SCOPE, OTHER_BODY)
    claim.release()
    claim.release()
    await released(one)
    again = await taken(other)
    claim.release()
    await released(one)
    with pytest.raises(IdempotencyInFlightError):
        await one.claim(SCOPE, BODY)
    again.forgo()


async def test_claim_of_a_dead_process_is_free_for_one(folder: Path) -> None:
    dead = hold(folder)
    await taken(dead)
    dead.close()
    heirs = [hold(folder) for _ in range(8)]
    outcomes = await asyncio.gather(*(heir.claim(SCOPE, BODY) for heir in heirs), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, IdempotencyInFlightError)]
    assert len(refused) == 7
    for heir in heirs:
        heir.close()


async def test_what_ends_after_the_end_of_the_process_does_no_harm(folder: Path, is_in_memory: bool) -> None:
    claims = hold(folder, is_in_memory=is_in_memory, is_temporary=True)
    first, second = await taken(claims), await taken(claims, ("bob", "", b""))
    claims.close()
    first.release()
    assert second.keep(REPLY) is None


async def test_scopes_share_nothing(holders: tuple[FolderClaims, FolderClaims]) -> None:
    scopes: list[Scope] = [SCOPE, ("bob", SCOPE[1], b"key"), ("alice", "/v1/embeddings", b"key")]
    # No way to write one scope's parts into another's.
    scopes += [("a", "b", b" c"), ("a", "b ", b"c"), ("a b", "", b"c"), ("", "a b", b"c")]
    assert len({name_of(scope) for scope in scopes}) == len(scopes)
    for scope in scopes:
        await taken(holders[0], scope)


async def test_reply_outlives_its_process_until_it_expires(folder: Path, clock: Clock) -> None:
    first = hold(folder, clock=clock)
    await kept(first)
    first.close()
    second = hold(folder, clock=clock)
    clock.now_s += 59
    assert await second.claim(SCOPE, BODY) == REPLY
    clock.now_s += 1
    (await taken(second, body=OTHER_BODY)).release()
    await released(second)
    await second.sweep()
    assert sizes_bytes(folder / "replies") == {}
    second.close()


@pytest.mark.parametrize("bounds", [replace(BOUNDS, max_bytes=2000), replace(BOUNDS, max_entries=3)])
async def test_sweep_keeps_the_newest_within_the_bounds(folder: Path, clock: Clock, bounds: Bounds) -> None:
    claims = hold(folder, bounds, clock=clock)
    for number in range(8):
        clock.now_s += 1
        await kept(claims, ("alice", "/r", b"%d" % number), Recorded(b"t", False, b"x" * 500))
    # A thread that sweeps what was much may still be at it, and of two the second does nothing.
    await eventually(lambda: not claims._is_sweeping)
    await claims.sweep()
    found = [await claims.claim(("alice", "/r", b"%d" % number), BODY) for number in range(8)]
    assert [isinstance(reply, Recorded) for reply in found] == [False] * 5 + [True] * 3
    claims.close()


async def test_much_written_is_swept_without_being_told(folder: Path, clock: Clock) -> None:
    claims = hold(folder, replace(BOUNDS, max_bytes=4000), clock=clock)
    for number in range(20):
        clock.now_s += 1
        await kept(claims, ("alice", "/r", b"%d" % number), Recorded(b"t", False, b"x" * 500))
    # A thread sweeps while more is written; the last that is written when it has ended is swept too.
    await eventually(lambda: not claims._is_sweeping)
    await kept(claims, ("alice", "/r", b"last"), Recorded(b"t", False, b"x" * 500))
    claims.close()
    assert sum(sizes_bytes(folder / "replies").values()) <= 4000


async def test_sweep_clears_what_dead_processes_left(
    holders: tuple[FolderClaims, FolderClaims], folder: Path, clock: Clock
) -> None:
    dead = hold(folder, clock=clock)
    await taken(dead, ("dead", "", b""))
    owner = folder / "owners" / dead._folder._owner
    dead.close()
    owner.touch()
    (folder / "drafts" / "half").write_bytes(b"half")
    living = await taken(holders[0])
    clock.now_s += 10**9
    await holders[1].sweep()
    assert list(sizes_bytes(folder / "claims")) == [name_of(SCOPE)]
    assert len(sizes_bytes(folder / "owners")) == 2
    assert sizes_bytes(folder / "drafts") == {}
    assert sorted(sizes_bytes(folder)) == ["claims", "drafts", "lock", "owners", "replies"]
    living.release()


async def test_too_long_a_reply_is_not_kept_and_its_key_is_free(
    holders: tuple[FolderClaims, FolderClaims],
) -> None:
    await kept(holders[0], reply=Recorded(b"t", False, b"x" * 1001))
    await taken(holders[1])


async def test_files_are_for_this_user_only(holders: tuple[FolderClaims, FolderClaims], folder: Path) -> None:
    await kept(holders[0])
    assert open_to_others(folder) == []


def test_folder_that_others_may_read_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with pytest.raises(SettingsError, match=f"close it with: chmod 700 {folder}"):
        hold(folder)


def test_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"idempotency\.folder .* cannot be used: Not a directory"):
        hold(tmp_path / "file" / "kept")


async def test_damaged_reply_is_as_if_there_were_none(
    holders: tuple[FolderClaims, FolderClaims], folder: Path
) -> None:
    (folder / "replies" / name_of(SCOPE)).write_bytes(b"\xc1")
    await taken(holders[0])


async def test_failing_folder_takes_no_call_down(
    holders: tuple[FolderClaims, FolderClaims], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim = await taken(holders[0])
    shutil.rmtree(folder)
    with caplog.at_level(logging.WARNING):
        pending = claim.keep(REPLY)
        if pending is not None:
            await pending
        assert await holders[0].claim(SCOPE, BODY) is None
        await holders[0].sweep()
    assert "could not be kept" in caplog.text
    assert "runs without protection" in caplog.text


async def test_claim_taken_for_a_client_who_has_left_is_let_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = hold(folder)
    may_go_on, original = threading.Event(), ReplyFolder.take

    def slow(self: ReplyFolder, name: str, fingerprint: bytes) -> Recorded | None:
        may_go_on.wait(5)
        return original(self, name, fingerprint)

    monkeypatch.setattr(ReplyFolder, "take", slow)
    leaving = asyncio.create_task(claims.claim(SCOPE, BODY))
    await asyncio.sleep(0.02)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    may_go_on.set()
    claims._executor.shutdown()
    assert sizes_bytes(folder / "claims") == {}


async def test_temporary_folder_goes_with_the_last_who_leaves(folder: Path) -> None:
    one, other = (hold(folder, is_in_memory=True, is_temporary=True) for _ in range(2))
    await kept(one)
    one.close()
    assert await other.claim(SCOPE, BODY) == REPLY
    other.close()
    assert not any(folder.parent.iterdir())


def busy(claims: FolderClaims) -> threading.Event:
    """Occupy all threads until the event is set."""
    may_go_on = threading.Event()
    for _ in range(4):
        claims._executor.submit(may_go_on.wait, 5)
    return may_go_on


async def test_reply_is_kept_though_its_client_leaves_before_a_thread_has_begun(folder: Path) -> None:
    claims = hold(folder)
    claim = await taken(claims)
    may_go_on = busy(claims)
    pending = claim.keep(REPLY)
    assert pending is not None
    leaving = asyncio.ensure_future(pending)
    await asyncio.sleep(0)
    leaving.cancel()
    may_go_on.set()
    claims.close()
    later = hold(folder)
    assert await later.claim(SCOPE, BODY) == REPLY
    later.close()


async def test_next_try_waits_for_the_end_of_the_last_one(folder: Path) -> None:
    claims = hold(folder)
    claim = await taken(claims)
    may_go_on = busy(claims)
    claim.release()
    again = asyncio.create_task(taken(claims))
    await asyncio.sleep(0.02)
    may_go_on.set()
    (await again).release()
    claims.close()


async def test_what_killed_workers_shared_in_memory_goes_with_their_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmaas_gateway.replay.build._MEMORY", tmp_path)
    shared = tmp_path / "lmaas-workers-x"
    claims = build_claims(IdempotencySettings(), shared)
    assert isinstance(claims, FolderClaims)
    await kept(claims)
    assert list(sizes_bytes(tmp_path)) == ["lmaas-workers-x-replies"]
    drop_shared(shared)
    assert sizes_bytes(tmp_path) == {}
    claims.close()


async def test_workers_share_a_folder_on_disk_where_memory_has_no_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmaas_gateway.replay.build._MEMORY", folder / "none")
    claims = build_claims(IdempotencySettings(), folder)
    assert isinstance(claims, FolderClaims)
    await kept(claims)
    assert "replies" in sizes_bytes(folder)
    claims.close()


def test_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(victim)
    with pytest.raises(SettingsError, match="is no folder; name one, not a link"):
        ReplyFolder(tmp_path / "link", BOUNDS)
    assert not list(victim.iterdir())
