"""All of one kind are looked at once in an interval, thousands of them some at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from lmaas_gateway.rounds import Rounds

INTERVAL_S = 0.1


class Looks:
    """What was looked at, and how many at once."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.at_once: list[int] = []
        self.times_s: list[float] = []
        self.has_looked = asyncio.Event()

    def __call__(self, some: Sequence[int], now_s: float) -> None:
        self.seen.update(some)
        self.at_once.append(len(some))
        self.times_s.append(now_s)
        self.has_looked.set()


async def until(rounds: Rounds[int], looks: Looks, count: int) -> None:
    async with asyncio.timeout(10):
        while looks.seen.total() < count:
            looks.has_looked.clear()
            await looks.has_looked.wait()
    rounds.stop()


async def test_many_are_looked_at_some_at_a_time_and_each_once_a_round() -> None:
    looks = Looks()
    rounds = Rounds(looks, INTERVAL_S)
    for member in range(1000):
        rounds.add(member)
    await until(rounds, looks, 2000)
    assert max(looks.at_once) <= 100
    assert set(looks.seen.values()) <= {2, 3}
    assert len(looks.seen) == 1000


async def test_few_are_looked_at_together() -> None:
    looks = Looks()
    rounds = Rounds(looks, INTERVAL_S)
    for member in range(3):
        rounds.add(member)
    await until(rounds, looks, 3)
    assert looks.at_once == [3]


async def test_who_has_left_is_not_looked_at() -> None:
    looks = Looks()
    rounds = Rounds(looks, INTERVAL_S)
    for member in range(200):
        rounds.add(member)
    await until(rounds, looks, 1)
    for member in set(range(200)) - set(looks.seen):
        rounds.discard(member)
    seen = set(looks.seen)
    rounds.add(min(seen))
    await until(rounds, looks, looks.seen.total() + len(seen))
    assert set(looks.seen) == seen


async def test_rounds_end_with_the_last_and_begin_with_the_next() -> None:
    looks = Looks()
    rounds = Rounds(looks, INTERVAL_S)
    rounds.add(1)
    rounds.discard(1)
    await asyncio.sleep(2 * INTERVAL_S)
    assert not rounds.is_turning
    rounds.add(2)
    await until(rounds, looks, 1)
    assert looks.seen == {2: 1}


async def test_a_look_that_fails_is_followed_by_the_next() -> None:
    looks = Looks()

    def fail(some: Sequence[int], now_s: float) -> None:
        looks(some, now_s)
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    rounds = Rounds(fail, INTERVAL_S / 10)
    rounds.add(1)
    await until(rounds, looks, 3)


async def test_after_a_stop_of_the_loop_there_is_time_to_read_before_the_look() -> None:
    looks = Looks()
    loop = asyncio.get_running_loop()
    rounds = Rounds(looks, INTERVAL_S / 5)
    rounds.add(1)
    time.sleep(0.3)  # noqa: ASYNC251  # it is the loop that stands still
    went_on_s = loop.time()
    await until(rounds, looks, 1)
    assert looks.times_s[0] - went_on_s >= 0.009
