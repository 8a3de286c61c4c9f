"""A flood of new calls, and the event loop's turns."""

from __future__ import annotations

import asyncio

from lmaas_gateway.admission.pace import Pace


async def begin(pace: Pace, name: int, begun: list[int]) -> None:
    if not pace.may_begin():
        await pace.turn()
    begun.append(name)


async def test_calls_begin_a_batch_each_turn_in_their_order() -> None:
    pace, begun = Pace(4), list[int]()
    sizes = []
    tasks = [asyncio.create_task(begin(pace, number, begun)) for number in range(18)]
    while len(begun) < 18:
        await asyncio.sleep(0)
        sizes.append(len(begun))
    assert begun == list(range(18))
    assert max(after - before for before, after in zip([0, *sizes], sizes, strict=False)) <= 4
    await asyncio.gather(*tasks)


async def test_calls_that_come_alone_wait_for_a_turn_once_a_batch() -> None:
    pace = Pace(3)
    waited = 0
    for _ in range(12):
        if not pace.may_begin():
            waited += 1
            await pace.turn()
    assert waited == 3


async def test_newcomer_does_not_overtake_those_that_wait() -> None:
    pace, begun = Pace(1), list[int]()
    tasks = [asyncio.create_task(begin(pace, number, begun)) for number in range(3)]
    await asyncio.sleep(0)
    late = asyncio.create_task(begin(pace, 3, begun))
    await asyncio.gather(*tasks, late)
    assert begun == [0, 1, 2, 3]


async def test_client_that_leaves_while_it_waits_takes_nobodys_turn() -> None:
    pace, begun = Pace(1), list[int]()
    tasks = [asyncio.create_task(begin(pace, number, begun)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert begun == [0, 3]
    await begin(pace, 4, begun)
    assert begun == [0, 3, 4]
