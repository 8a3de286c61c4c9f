"""Single flight: who leads, who follows, and who takes over."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.replay.flights import Flights
from lmaas_gateway.replay.replies import Recorded

KEY = b"key"
REPLY = Recorded(b"application/json", False, b"{}")


def follow(flights: Flights, count: int = 1) -> list[asyncio.Task[Recorded | str]]:
    async def join() -> Recorded | str:
        return await flights.join(KEY)

    return [asyncio.create_task(join()) for _ in range(count)]


async def test_first_leads_and_the_others_get_its_reply() -> None:
    flights = Flights(10)
    assert await flights.join(KEY) == "lead"
    followers = follow(flights, 3)
    await asyncio.sleep(0)
    assert await flights.join(b"other") == "lead"
    flights.land(KEY, REPLY)
    assert await asyncio.gather(*followers) == [REPLY] * 3
    assert len(flights) == 1
    assert await flights.join(KEY) == "lead"


async def test_failed_leader_is_followed_by_one_who_left_not() -> None:
    flights = Flights(10)
    await flights.join(KEY)
    followers = follow(flights, 3)
    await asyncio.sleep(0)
    followers[0].cancel()
    await asyncio.sleep(0)
    flights.fail(KEY)
    assert await followers[1] == "lead"
    flights.land(KEY, REPLY)
    assert await followers[2] == REPLY
    assert len(flights) == 0


async def test_follower_that_leaves_as_it_is_made_leader_hands_on() -> None:
    flights = Flights(10)
    await flights.join(KEY)
    followers = follow(flights, 2)
    await asyncio.sleep(0)
    flights.fail(KEY)
    followers[0].cancel()
    assert await followers[1] == "lead"
    flights.fail(KEY)
    assert len(flights) == 0


async def test_follower_that_leaves_as_the_reply_comes_takes_nothing_along() -> None:
    flights = Flights(10)
    await flights.join(KEY)
    followers = follow(flights, 2)
    await asyncio.sleep(0)
    flights.land(KEY, REPLY)
    followers[0].cancel()
    assert await followers[1] == REPLY
    assert len(flights) == 0


async def test_follower_waits_no_longer_than_it_may() -> None:
    flights = Flights(0.02)
    await flights.join(KEY)
    assert await flights.join(KEY) == "alone"
    flights.fail(KEY)
    assert len(flights) == 0


async def test_follower_whose_own_time_is_up_is_late() -> None:
    flights = Flights(10)
    await flights.join(KEY)
    assert await flights.join(KEY, 0.01) == "late"
    assert await flights.join(KEY, -1) == "late"
    assert await flights.join(b"other", -1) == "lead"


async def test_disbanded_flight_leaves_everybody_alone() -> None:
    flights = Flights(10)
    await flights.join(KEY)
    followers = follow(flights, 3)
    await asyncio.sleep(0)
    flights.disband(KEY)
    assert await asyncio.gather(*followers) == ["alone"] * 3


@given(st.lists(st.sampled_from(["join", "leave", "fail", "land", "disband"]), max_size=30))
def test_there_is_one_leader_at_most_and_nobody_is_forgotten(steps: list[str]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    flights = Flights(60)
    waiting: list[asyncio.Task[Recorded | str]] = []
    leaders = 0

    def settle() -> int:
        done = [task for task in waiting if task.done()]
        waiting[:] = [task for task in waiting if not task.done()]
        return sum(not task.cancelled() and task.result() == "lead" for task in done)

    for step in steps:
        if step == "join":
            waiting += follow(flights)
        elif step == "leave" and waiting:
            waiting[0].cancel()
        elif step in {"fail", "land", "disband"} and leaders:
            leaders -= 1
            if step == "land":
                flights.land(KEY, REPLY)
            else:
                getattr(flights, step)(KEY)
        for _ in range(4):
            await asyncio.sleep(0)
        leaders += settle()
        assert leaders == len(flights) <= 1
    while leaders:
        flights.fail(KEY)
        for _ in range(4):
            await asyncio.sleep(0)
        leaders = settle()
    assert waiting == []
    assert len(flights) == 0
