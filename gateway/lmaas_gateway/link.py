"""What the process that keeps the workers and each of them say to each other.

A configuration reaches all workers in two steps, so that none serves what another cannot: all prepare it,
and only if all of them could, all adopt it. A worker that begins meanwhile is told to follow. In the other
direction operators' wishes go up, which may arrive at any worker. The way is a socket pair made before the
worker is started, which no other process can reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import pickle
import signal
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.errors import GatewayError, SettingsError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Mapping

    from lmaas_gateway.app import Gateway
    from lmaas_gateway.assembly.snapshot import Snapshot
    from lmaas_gateway.configuration.changes import Change
    from lmaas_gateway.configuration.live import Outcome
    from lmaas_gateway.replicas.supervisor import ReplicaStatus
    from lmaas_gateway.settings import Settings

    LaunchStates = Mapping[str, tuple[ReplicaStatus, ...]]

_LOG = logging.getLogger("lmaas.gateway")
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Prepare:
    """To a worker: build this beside what serves, and say whether it could be."""

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class Adopt:
    """To a worker: serve by what it has prepared."""

    number: int


@dataclass(frozen=True, slots=True)
class Discard:
    """To a worker: forget what it has prepared, if it has."""

    number: int


@dataclass(frozen=True, slots=True)
class Follow:
    """To a worker that began with an older configuration: the others serve by this one."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class RenewTls:
    """To a worker: read the files of TLS again."""


@dataclass(frozen=True, slots=True)
class Launches:
    """To a worker: what the launcher knows."""

    states: LaunchStates


@dataclass(frozen=True, slots=True)
class Answer:
    """To a worker: what became of a wish."""

    number: int
    outcome: Outcome | GatewayError


@dataclass(frozen=True, slots=True)
class Hello:
    """From a worker: it serves."""


@dataclass(frozen=True, slots=True)
class Done:
    """From a worker: it has prepared or adopted, or why it could not."""

    number: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """From a worker: what an operator asked it for; None to reload."""

    number: int
    change: Change | None


class Channel:
    """One end of the way between two processes of a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """Take one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: object) -> None:
        """Send a message; the other end need not be reading."""
        data = pickle.dumps(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def messages(self) -> AsyncIterator[object]:
        """Give the messages as they come, until the other end is gone."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                yield pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - our own process

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


class WorkerLink:
    """A worker's end: follows the configuration, and passes operators' wishes on.

    Args:
        channel: To the process that started this one.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count()
        self._wishes: dict[int, asyncio.Future[Outcome]] = {}
        self._states: LaunchStates = {}
        self._prepared: Snapshot | None = None
        self._listening: asyncio.Task[None] | None = None

    def launches(self, model: str) -> tuple[ReplicaStatus, ...]:
        """Give what the launcher last said of a model's replicas."""
        return self._states.get(model, ())

    def attach(self, gateway: Gateway) -> None:
        """Let `gateway` follow from now on."""
        self._listening = asyncio.create_task(self._listen(gateway))
        self._channel.send(Hello())

    async def reload(self) -> Outcome:
        """Ask for the configuration to be read again.

        Raises:
            GatewayError: it could not be.
        """
        return await self._wish(None)

    async def change(self, change: Change) -> Outcome:
        """Ask for a change.

        Raises:
            GatewayError: it could not be made.
        """
        return await self._wish(change)

    async def _wish(self, change: Change | None) -> Outcome:
        number = next(self._numbers)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._wishes[number] = future
        try:
            self._channel.send(Wish(number, change))
            return await future
        finally:
            del self._wishes[number]

    async def _listen(self, gateway: Gateway) -> None:
        try:
            async for message in self._channel.messages():
                await self._obey(message, gateway)
        except Exception:
            _LOG.exception("this worker could not follow the configuration; another one takes its place")
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            self._channel.close()

    async def _obey(self, message: object, gateway: Gateway) -> None:
        match message:
            case Prepare():
                self._channel.send(Done(message.number, await self._prepare(message.settings, gateway)))
            case Adopt():
                if self._prepared is not None:
                    gateway.adopt(self._prepared)
                    self._prepared = None
                self._channel.send(Done(message.number))
            case Discard():
                if self._prepared is not None:
                    gateway.discard(self._prepared)
                    self._prepared = None
            case Follow():
                gateway.adopt(await gateway.prepare(message.settings, must_serve=False))
            case RenewTls():
                await gateway.renew_tls()
            case Launches():
                self._states = message.states
            case Answer():
                self._settle(message)

    async def _prepare(self, settings: Settings, gateway: Gateway) -> str | None:
        try:
            self._prepared = await gateway.prepare(settings)
        except SettingsError as error:
            return str(error)
        return None

    def _settle(self, answer: Answer) -> None:
        future = self._wishes.get(answer.number)
        if future is None or future.done():
            return
        if isinstance(answer.outcome, GatewayError):
            future.set_exception(answer.outcome)
        else:
            future.set_result(answer.outcome)
