"""People with calls under way: who is disabled meanwhile has them ended, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.people import PeopleAtWork
from lmaas_gateway.identity.running import RunningCalls
from lmaas_gateway.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.call import Exits


class Store:
    """Knows who may call."""

    def __init__(self) -> None:
        self.may_call = {"ann", "bob"}
        self.asked: list[list[str]] = []
        self.error: Exception | None = None

    async def find_open(self, members: Sequence[str]) -> set[str]:
        self.asked.append(sorted(members))
        if self.error is not None:
            raise self.error
        return self.may_call & set(members)


class Rig:
    """A store, and calls of people."""

    def __init__(self) -> None:
        self.store = Store()
        self.running = RunningCalls()
        self.at_work = PeopleAtWork(self.store, self.running, poll_s=0.01)
        self._authenticator = Authenticator({}, running=RunningCalls(), people=self.running)

    async def call(self, principal: Principal) -> tuple[asyncio.Task[None], Meter]:
        meter = Meter("req", "/v1/chat/completions", lambda: 0.0)

        async def run() -> None:
            exits: Exits = []
            self._authenticator.admit(principal, meter, exits)
            try:
                await asyncio.sleep(60)
            finally:
                for leave in exits:
                    leave()

        task = meter.task = asyncio.create_task(run())
        await asyncio.sleep(0)
        return task, meter


ANN, BOB = (Principal(name, member=name) for name in ("ann", "bob"))


async def test_calls_of_a_member_who_is_disabled_are_ended() -> None:
    rig = Rig()
    (first, meter), (second, _), (spared, _) = [await rig.call(one) for one in (ANN, ANN, BOB)]
    await rig.at_work.follow()
    assert not first.done()
    rig.store.may_call = {"bob"}
    await rig.at_work.follow()
    for task in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert meter.verdict is not None
    assert (meter.verdict.status, meter.verdict.code) == (403, "permission_denied")
    assert [*rig.running] == ["bob"]
    spared.cancel()


async def test_key_of_a_member_is_followed_as_a_key() -> None:
    rig = Rig()
    task, _ = await rig.call(Principal("k", key="k", member="ann"))
    assert [*rig.running] == []
    task.cancel()


async def test_store_is_asked_only_while_people_have_calls_under_way() -> None:
    rig = Rig()
    await rig.at_work.follow()
    assert rig.store.asked == []


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), ValueError("a mistake of ours")])
async def test_store_that_does_not_tell_ends_no_call(error: Exception) -> None:
    rig = Rig()
    task, _ = await rig.call(ANN)
    rig.store.error = error
    following = asyncio.create_task(rig.at_work.run())
    async with asyncio.timeout(5):
        while len(rig.store.asked) < 3:
            await asyncio.sleep(0.01)
    assert not task.done()
    rig.store.error, rig.store.may_call = None, set()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    following.cancel()
