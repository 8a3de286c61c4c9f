"""Messages on their way to webhooks: in order, tried again with growing pauses, and only so many at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.watching.messages import sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from lmaas_gateway.settings import Severity
    from lmaas_gateway.watching.messages import Message
    from lmaas_gateway.watching.sending import Answer, Send

_LOG = logging.getLogger("lmaas.gateway")

MAX_WAITING = 200
OUTCOMES = ("delivered", "failed", "dropped")
# Short, so that a receiver that fails twice still knows within seconds.
_FIRST_PAUSE_S = 0.25
_MAX_PAUSE_S = 300.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook as it is to be called.

    Attributes:
        secrets: Sign its messages, the newest first.
        timeout_s: Of one attempt.
        retry_s: How old a message may become.
    """

    name: str
    url: str
    secrets: tuple[bytes, ...]
    severities: frozenset[Severity]
    timeout_s: float
    retry_s: float


@dataclass(frozen=True, slots=True)
class Pacing:
    """Where time and luck come from: `now` in Unix seconds, `sleep`, and `draw` a number below 1."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random


class Outbox:
    """The messages of one webhook. One is tried at a time, so that an end never comes before its beginning.

    Args:
        endpoint: Where they go to.
        send: Makes one attempt.
        count: Told what became of an attempt: delivered, failed, or dropped for good.
        pacing: Time and luck.
        waiting: What an earlier process could not deliver.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        send: Send,
        *,
        count: Callable[[str, str], None],
        pacing: Pacing,
        waiting: Iterable[Message] = (),
    ) -> None:
        self.endpoint = endpoint
        self._send = send
        self._count = count
        self._pacing = pacing
        self._waiting = list(waiting)
        self._is_gone = False
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def waiting(self) -> Sequence[Message]:
        """What is not delivered yet, the oldest first."""
        return self._waiting

    def put(self, message: Message) -> None:
        """Take a message; where too many wait, the oldest that is not being tried is dropped."""
        if self._is_gone:
            self._count(self.endpoint.name, "dropped")
            return
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[1]
            self._drop("too many messages wait")
        self._waiting.append(message)
        self._news.set()

    async def close(self) -> None:
        """End it; what waits is for whoever comes after."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            await self._deliver(self._waiting[0])
            del self._waiting[0]

    async def _deliver(self, message: Message) -> None:
        """Try until it is taken, is too old, or its receiver wants no more."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if self._is_gone:
                self._count(self.endpoint.name, "dropped")
                return
            answer = await self._attempt(message)
            if not answer.problem:
                self._count(self.endpoint.name, "delivered")
                return
            self._count(self.endpoint.name, "failed")
            if answer.status == _GONE:
                # Source: Standard Webhooks 1.0.0, "Delivery success and failure".
                self._is_gone = True
                _LOG.error("webhook %s is gone (410): it is told nothing more", self.endpoint.name)
                continue
            # Jitter, so that receivers that came back are not called by all gateways at once.
            wait_s = max(answer.retry_after_s, pause_s * (1 + self._pacing.draw() / 2))
            if self._pacing.now() + wait_s - message.at_s > self.endpoint.retry_s:
                self._drop(answer.problem)
                return
            _LOG.warning("webhook %s: %s; again in %.3g s", self.endpoint.name, answer.problem, wait_s)
            await self._pacing.sleep(wait_s)
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    def _attempt(self, message: Message) -> Awaitable[Answer]:
        headers = sign(message, self.endpoint.secrets, self._pacing.now())
        return self._send(self.endpoint.url, headers, message.body, self.endpoint.timeout_s)

    def _drop(self, why: str) -> None:
        self._count(self.endpoint.name, "dropped")
        _LOG.error("webhook %s: a message was given up: %s", self.endpoint.name, why)


class Post:
    """The outboxes of all webhooks.

    Args:
        send: Makes one attempt.
        count: Told the name of a webhook and what became of an attempt.
        pacing: Time and luck.
        undelivered: What an earlier process could not deliver, by the name of the webhook.
    """

    def __init__(
        self,
        send: Send,
        *,
        count: Callable[[str, str], None],
        pacing: Pacing,
        undelivered: Mapping[str, Sequence[Message]],
    ) -> None:
        self._send = send
        self._count = count
        self._pacing = pacing
        self._undelivered = dict(undelivered)
        self._boxes: dict[str, Outbox] = {}

    async def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """Send to these webhooks from now on; one that has changed keeps its messages."""
        wanted = {endpoint.name: endpoint for endpoint in endpoints}
        for name in [*self._boxes]:
            if (box := self._boxes[name]).endpoint != wanted.get(name):
                del self._boxes[name]
                await box.close()
                self._undelivered[name] = [*box.waiting]
        for name, endpoint in wanted.items():
            if name not in self._boxes:
                self._boxes[name] = Outbox(
                    endpoint,
                    self._send,
                    count=self._count,
                    pacing=self._pacing,
                    waiting=self._undelivered.pop(name, ()),
                )

    def put(self, message: Message, severity: Severity) -> None:
        """Tell all webhooks that want to know."""
        for box in self._boxes.values():
            if severity in box.endpoint.severities:
                box.put(message)

    def undelivered(self) -> dict[str, list[Message]]:
        """Give what is not delivered yet, by the name of the webhook."""
        return {name: [*box.waiting] for name, box in self._boxes.items()}

    async def close(self) -> None:
        """End all of it; what waits is for whoever comes after."""
        for box in self._boxes.values():
            await box.close()
