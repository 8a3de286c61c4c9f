"""What a fake replica saw: one `Seen` a call, and the counts that vLLM's metrics tell."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmaas_gateway.testing.journal import Journal
    from lmaas_gateway.testing.wire import Request


class Outcome(StrEnum):
    """How a call ended, as the replica saw it."""

    FINISHED = "finished"
    """The reply went out whole."""
    ABORTED = "aborted"
    """The client left first."""
    BROKEN = "broken"
    """The script broke the connection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One call (a POST).

    Attributes:
        request: Path, headers and body, as they came.
        connection: Number of the connection, from 1 in order of acceptance.
        at_s: When the request was complete, by the replica's clock.
        outcome: None while the reply is under way.
        ended_at_s: When `outcome` was known.
        sent_bytes: Bytes handed to the transport so far.
        tokens: Generated tokens among them.
    """

    request: Request
    connection: int
    at_s: float
    outcome: Outcome | None = None
    ended_at_s: float | None = None
    sent_bytes: int = 0
    tokens: int = 0


class Record:
    """Everything one fake replica has seen, in order of arrival.

    Args:
        clock: Gives the times.
        journal: Takes every piece of news too, so that it outlives the process.
    """

    def __init__(self, clock: Callable[[], float], journal: Journal | None = None) -> None:
        self._clock = clock
        self._journal = journal
        self._calls: list[Seen] = []
        self._changed = asyncio.Event()
        self.connections = 0
        self.open_connections = 0
        self.probes: Counter[str] = Counter()

    @property
    def calls(self) -> tuple[Seen, ...]:
        """Every call, in order of arrival."""
        return tuple(self._calls)

    def count(self, outcome: Outcome | None) -> int:
        """Count the calls of one outcome; None counts those under way."""
        return sum(call.outcome is outcome for call in self._calls)

    def open_connection(self) -> int:
        """Note a new connection and number it."""
        self.connections += 1
        self.open_connections += 1
        self._changed.set()
        return self.connections

    def close_connection(self) -> None:
        """Note that a connection has gone."""
        self.open_connections -= 1
        self._changed.set()

    def probe(self, path: str) -> None:
        """Note a GET."""
        self.probes[path] += 1
        self._changed.set()

    def open(self, request: Request, connection: int) -> int:
        """Note a call and give its index in `calls`."""
        call = Seen(request, connection, self._clock())
        self._calls.append(call)
        self._changed.set()
        index = len(self._calls) - 1
        if self._journal is not None:
            self._journal.opened(index, request.name, call.at_s)
        return index

    def sent(self, index: int, count: int) -> None:
        """Add bytes to what a call's reply has sent."""
        call = self._calls[index]
        self._calls[index] = replace(call, sent_bytes=call.sent_bytes + count)
        self._changed.set()

    def generated(self, index: int | None, tokens: int) -> None:
        """Add tokens to what a call's reply has sent; None is a request that is no call."""
        if index is None:
            return
        call = self._calls[index]
        self._calls[index] = replace(call, tokens=call.tokens + tokens)
        if self._journal is not None:
            self._journal.generated(index, tokens, self._clock())

    def settle(self, index: int, outcome: Outcome) -> None:
        """Note how a call ended."""
        call = replace(self._calls[index], outcome=outcome, ended_at_s=self._clock())
        self._calls[index] = call
        self._changed.set()
        if self._journal is not None:
            self._journal.settled(index, outcome.value, call.ended_at_s or 0.0)

    async def until(self, condition: Callable[[], bool], *, within_s: float = 1.0) -> None:
        """Wait for `condition`, looked at whenever something new was seen.

        Raises:
            TimeoutError: it does not hold after `within_s` seconds.
        """
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
