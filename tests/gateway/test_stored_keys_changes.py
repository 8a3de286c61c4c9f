"""Keys of the store that change or end: what is known of it when, and the calls that run."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.key_rig import Rig
from lmaas_gateway.call import Exits
from lmaas_gateway.errors import KeyRevokedError, StoreUnavailableError
from lmaas_gateway.identity.keys import NewKey
from lmaas_gateway.identity.warm import KNOWN_WITHIN_S
from lmaas_gateway.meter import Meter
from lmaas_gateway.storage.holders import KeyScopes
from support.tenants import NOW_US


class TestChanges:
    async def test_change_is_known_after_the_next_look(self) -> None:
        rig = Rig()
        key, other = rig.store.add(), rig.store.add()
        await rig.changes.follow()
        await rig.call(key)
        await rig.call(other)
        rig.store.change(key, scopes=KeyScopes(models=("b",)))
        await rig.changes.follow()
        assert (await rig.call(key)).scopes.models == ("b",)
        rig.store.change(key, revoked_at=NOW_US)
        await rig.changes.follow()
        assert type(await rig.refusal(key)) is KeyRevokedError
        await rig.call(other)
        assert len(rig.store.asked) == 2

    async def test_without_a_look_for_five_seconds_no_key_is_taken_unasked(self) -> None:
        rig = Rig()
        key = rig.store.add()
        await rig.changes.follow()
        await rig.call(key)
        rig.store.change(key, revoked_at=NOW_US)
        rig.now_s += KNOWN_WITHIN_S
        assert type(await rig.refusal(key)) is KeyRevokedError

    async def test_while_no_look_succeeds_a_key_is_asked_for_once_in_five_seconds(self) -> None:
        rig = Rig()
        key = rig.store.add()
        rig.warm.trusted_until_s = -math.inf
        for _ in range(3):
            await rig.call(key)
        assert len(rig.store.asked) == 1
        rig.now_s += KNOWN_WITHIN_S - 1
        await rig.call(key)
        rig.store.change(key, revoked_at=NOW_US)
        rig.now_s += 1
        assert type(await rig.refusal(key)) is KeyRevokedError
        assert len(rig.store.asked) == 2

    async def test_answer_that_was_under_way_does_not_undo_a_change(self) -> None:
        rig = Rig()
        key = rig.store.add()
        await rig.changes.follow()
        rig.store.pause = asyncio.Event()
        caller = asyncio.create_task(rig.refusal(key))
        await asyncio.sleep(0.01)
        pause, rig.store.pause = rig.store.pause, None
        rig.store.change(key, revoked_at=NOW_US)
        await rig.changes.follow()
        pause.set()
        assert type(await caller) is KeyRevokedError

    async def test_change_that_commits_late_is_seen(self) -> None:
        rig = Rig()
        one, two = rig.store.add(), rig.store.add()
        await rig.changes.follow()
        for key in (one, two):
            await rig.call(key)
        rig.store.change(one, weight=2.0)
        rig.store.change(two, revoked_at=NOW_US)
        late = rig.store.holders[one.id]
        rig.store.holders[one.id] = rig.store.holders[one.id].__class__(
            **{name: getattr(late, name) for name in late.__struct_fields__} | {"changed_at": NOW_US}
        )
        await rig.changes.follow()
        rig.store.holders[one.id] = late
        await rig.changes.follow()
        assert (await rig.call(one)).weight == 2.0

    async def test_when_keys_were_used_is_noted_once_a_minute(self) -> None:
        rig = Rig()
        key, idle = rig.store.add(), rig.store.add()
        await rig.call(key)
        await rig.changes.follow()
        assert rig.store.used == {}
        await rig.call(key)
        rig.now_s += 61
        rig.store.is_down = True
        await rig.changes.follow()
        rig.store.is_down = False
        await rig.call(key)
        rig.now_s += 61
        await rig.changes.follow()
        assert rig.store.used == {key.id: rig.at_us(0)}
        assert idle.id not in rig.store.used

    async def test_key_that_is_said_to_be_revoked_is_not_served_though_the_store_is_away(self) -> None:
        rig = Rig()
        revoked, other = rig.store.add(), rig.store.add()
        await rig.changes.follow()
        for key in (revoked, other):
            await rig.call(key)
        rig.changes.hear([revoked.id])
        rig.store.is_down = True
        await rig.call(other)
        with pytest.raises(StoreUnavailableError):
            await rig.call(revoked)

    async def test_key_that_is_said_to_be_revoked_is_known_to_be_once_the_store_has_told(self) -> None:
        rig = Rig()
        key = rig.store.add()
        await rig.changes.follow()
        await rig.call(key)
        rig.store.change(key, revoked_at=NOW_US)
        rig.changes.hear([key.id])
        await rig.changes.follow()
        rig.store.is_down = True
        assert (await rig.refusal(key)).status == 401

    async def test_it_follows_at_once_when_there_is_news(self) -> None:
        rig = Rig(poll_s=1000)
        key = rig.store.add()
        await rig.changes.follow()
        await rig.call(key)
        following = asyncio.create_task(rig.changes.run())
        await asyncio.sleep(0)
        rig.store.change(key, revoked_at=NOW_US)
        rig.changes.hear()
        async with asyncio.timeout(10):
            while rig.keys.refusal_of(key.id) is None:
                await asyncio.sleep(0.005)
        following.cancel()


class TestRunning:
    async def running_call(self, rig: Rig, key: NewKey) -> tuple[asyncio.Task[None], Meter]:
        principal = await rig.call(key)
        meter = Meter("req", "/v1/chat/completions", rig.clock)

        async def run() -> None:
            exits: Exits = []
            rig.authenticator.admit(principal, meter, exits)
            try:
                await asyncio.sleep(60)
            finally:
                for leave in exits:
                    leave()

        task = meter.task = asyncio.create_task(run())
        await asyncio.sleep(0)
        return task, meter

    @pytest.mark.parametrize("how", ["revoked", "expired"])
    async def test_call_of_a_key_that_ends_is_ended(self, how: str) -> None:
        rig = Rig()
        key = rig.store.add(expires_at=rig.at_us(30))
        other = rig.store.add()
        await rig.changes.follow()
        task, meter = await self.running_call(rig, key)
        spared, _ = await self.running_call(rig, other)
        await rig.changes.follow()
        assert not task.done()
        if how == "revoked":
            rig.store.change(key, revoked_at=NOW_US)
        else:
            rig.now_s += 31
        await rig.changes.follow()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert meter.verdict is not None
        assert meter.verdict.code == f"key_{how}"
        assert not spared.done()
        assert list(rig.running) == [other.id]
        spared.cancel()
        await asyncio.gather(spared, return_exceptions=True)
        assert list(rig.running) == []

    async def test_call_of_a_key_that_was_forgotten_is_ended_too(self) -> None:
        rig = Rig(cache_keys=1)
        key = rig.store.add()
        await rig.changes.follow()
        task, _ = await self.running_call(rig, key)
        await rig.call(rig.store.add())
        assert not rig.keys.is_waiting_for(key.id)
        rig.store.change(key, revoked_at=NOW_US)
        await rig.changes.follow()
        with pytest.raises(asyncio.CancelledError):
            await task
