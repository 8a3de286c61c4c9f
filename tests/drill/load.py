"""Clients that call without a pause, each call with a name of its own, and write down what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from faults.clients import asking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from drill.site import DrillKey
    from faults.clients import History, Told

PAUSE_S = 0.02


class Clients:
    """Clients of some gateways with some keys.

    Args:
        histories: Of the gateways.
        keys: Each client takes one of them for each call.
        count: How many there are.
    """

    def __init__(self, histories: Sequence[History], keys: Sequence[DrillKey], count: int) -> None:
        self._histories = histories
        self._keys = keys
        self._count = count
        self._is_over = False
        self.told: list[tuple[DrillKey, Told]] = []
        self.unreached = 0

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Call until the end of the block; then let every call come to its end."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._count):
                tasks.create_task(self._call(random.Random(number)))
            try:
                yield
            finally:
                self._is_over = True

    async def _call(self, source: random.Random) -> None:
        while not self._is_over:
            history, key = source.choice(self._histories), source.choice(self._keys)
            gap_s = source.choice([0, 0.005, 0.02])
            fields = asking(stream=source.random() < 0.7, tokens=source.randrange(1, 60), token_gap_s=gap_s)
            try:
                async with history.open(fields, key=key.secret) as talk:
                    self.told.append((key, await talk.finish(within_s=60)))
            except ConnectionError:
                # Its gateway is not there just now.
                self.unreached += 1
                await asyncio.sleep(0.1)
            await asyncio.sleep(source.random() * PAUSE_S)

    def since(self, moment_s: float, until_s: float = float("inf")) -> list[tuple[DrillKey, Told]]:
        """Those of the calls that began in this time."""
        return [(key, told) for key, told in self.told if moment_s <= told.started_s < until_s]


async def knocking(
    histories: Sequence[History], key: DrillKey, is_over: Callable[[], bool]
) -> list[tuple[float, Told]]:
    """Try a key that must not be served at every gateway, again and again; give when, and what was said."""
    said: list[tuple[float, Told]] = []
    while not is_over():
        for history in histories:
            async with history.open(asking(tokens=1), key=key.secret) as talk:
                began_s = time.monotonic()
                said.append((began_s, await talk.finish()))
        await asyncio.sleep(0.05)
    return said


async def call(history: History, key: DrillKey, *, within_s: float = 60.0) -> Told:
    """Make one short call."""
    async with history.open(asking(tokens=4), key=key.secret) as talk:
        return await talk.finish(within_s=within_s)


def outcomes(told: Sequence[Told]) -> str:
    """How many ended how, for people."""
    counts = Counter(one.code or one.outcome for one in told)
    return ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())


def percentile_ms(told: Sequence[Told], part: float) -> float:
    """How long so many of the calls waited at most for their first byte."""
    waits = sorted(one.first_byte_s - one.started_s for one in told if one.first_byte_s is not None)
    return waits[min(int(part * len(waits)), len(waits) - 1)] * 1e3 if waits else 0.0
