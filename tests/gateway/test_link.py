"""A worker's end of the way to its parent: it follows, refuses, and passes wishes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.app import Gateway
from lmaas_gateway.assembly.surroundings import Surroundings
from lmaas_gateway.configuration.changes import RemoveReplica
from lmaas_gateway.configuration.live import Outcome
from lmaas_gateway.errors import ReplicaNotFoundError
from lmaas_gateway.link import (
    Adopt,
    Answer,
    Channel,
    Discard,
    Done,
    Follow,
    Hello,
    Launches,
    Prepare,
    Wish,
    WorkerLink,
)
from lmaas_gateway.replicas.supervisor import ReplicaStatus
from lmaas_gateway.settings import Settings
from support.serving import settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIRST = settings_for("http://127.0.0.1:9")
SECOND = settings_for("http://127.0.0.1:9", "http://127.0.0.1:10")
BROKEN = Settings.model_validate(
    {"models": [{"name": "mock", "replicas": [{"url": "https://127.0.0.1:9", "ca_file": "/no/such"}]}]}
)


class Parent:
    """The other end, and the worker's gateway."""

    def __init__(self, channel: Channel, link: WorkerLink, gateway: Gateway) -> None:
        self.channel = channel
        self.link = link
        self.gateway = gateway
        self._messages = channel.messages()

    async def hear(self) -> Any:
        async with asyncio.timeout(5):
            return await anext(self._messages)


@contextlib.asynccontextmanager
async def linked() -> AsyncIterator[Parent]:
    ours, theirs = socket.socketpair()
    link = WorkerLink(await Channel.open(theirs))
    gateway = Gateway(FIRST, Surroundings(launches=link.launches, steering=link))
    parent = Parent(await Channel.open(ours), link, gateway)
    link.attach(gateway)
    assert await parent.hear() == Hello()
    try:
        yield parent
    finally:
        parent.channel.close()
        assert link._listening is not None
        await link._listening
        await gateway._prober.stop()
        gateway.directory.close()


async def test_prepared_configuration_is_adopted_when_told() -> None:
    async with linked() as parent:
        parent.channel.send(Prepare(1, SECOND))
        assert await parent.hear() == Done(1)
        assert parent.gateway.settings == FIRST
        parent.channel.send(Adopt(2))
        assert await parent.hear() == Done(2)
        assert parent.gateway.settings == SECOND


async def test_discarded_configuration_is_not_adopted() -> None:
    async with linked() as parent:
        parent.channel.send(Discard(0))
        parent.channel.send(Prepare(1, SECOND))
        assert await parent.hear() == Done(1)
        parent.channel.send(Discard(1))
        parent.channel.send(Adopt(2))
        assert await parent.hear() == Done(2)
        assert parent.gateway.settings == FIRST


async def test_what_cannot_be_prepared_is_answered_with_the_reason() -> None:
    async with linked() as parent:
        parent.channel.send(Prepare(1, BROKEN))
        answer = await parent.hear()
        assert "the CA file /no/such cannot be used" in answer.problem
        assert parent.gateway.settings == FIRST


async def test_late_worker_follows_even_where_no_replica_answers() -> None:
    async with linked() as parent:
        parent.gateway.directory.pools["mock"].replicas[0].is_ready = True
        parent.channel.send(Follow(settings_for("http://127.0.0.1:11")))
        parent.channel.send(Adopt(1))
        assert await parent.hear() == Done(1)
        assert parent.gateway.settings == settings_for("http://127.0.0.1:11")


async def test_wishes_go_up_and_come_back_with_their_outcome() -> None:
    async with linked() as parent:
        asking = asyncio.create_task(parent.link.reload())
        wish = await parent.hear()
        assert wish.change is None
        parent.channel.send(Answer(wish.number + 7, Outcome(1, is_changed=False)))
        parent.channel.send(Answer(wish.number, Outcome(4, is_changed=True)))
        assert await asking == Outcome(4, is_changed=True)
        changing = asyncio.create_task(parent.link.change(RemoveReplica("x")))
        wish = await parent.hear()
        assert wish == Wish(wish.number, RemoveReplica("x"))
        parent.channel.send(Answer(wish.number, ReplicaNotFoundError("no x", param="name")))
        with pytest.raises(ReplicaNotFoundError) as caught:
            await changing
        assert (caught.value.message, caught.value.param) == ("no x", "name")


async def test_launcher_is_believed() -> None:
    async with linked() as parent:
        states = (ReplicaStatus("unix:/x", state="ready"),)
        parent.channel.send(Launches({"mock": states}))
        async with asyncio.timeout(5):
            while parent.link.launches("mock") != states:
                await asyncio.sleep(0.01)
        assert parent.link.launches("other") == ()


async def test_worker_that_cannot_follow_makes_way_for_another() -> None:
    got: list[int] = []
    loop = asyncio.get_running_loop()
    async with linked() as parent:
        loop.add_signal_handler(signal.SIGTERM, lambda: got.append(os.getpid()))
        parent.channel.send(Follow(BROKEN))
        async with asyncio.timeout(5):
            while not got:
                await asyncio.sleep(0.01)
        loop.remove_signal_handler(signal.SIGTERM)
