from __future__ import annotations

import asyncio
import threading

import pytest

from lmaas import errors
from lmaas._budget import RESERVE, WINDOW_S, RetryBudget
from lmaas._retry import AsyncRetryTransport, RetryTransport
from sdk.test_retry import AsyncNetwork, Network, Send, send  # noqa: F401 - a fixture


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("calls_per_s", [10, 50, 500])
def test_storm_gets_at_most_a_tenth_of_its_calls_again(calls_per_s: int) -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    calls, retries = 6_000, 0
    for _ in range(calls):
        clock.now += 1 / calls_per_s
        budget.count_call()
        # Each call fails and would be tried twice more.
        retries += budget.take() + budget.take()
    assert 0.05 * calls < retries <= 0.1 * calls


def test_storm_after_a_long_silence_gets_no_more_than_its_share() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    clock.now += 10_000
    retries = 0
    for _ in range(2_000):
        budget.count_call()
        retries += budget.take() + budget.take()
    assert retries == 200


def test_quiet_client_may_retry_each_call() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    for _ in range(1_000):
        clock.now += 20
        budget.count_call()
        assert budget.take()
        assert budget.take()


def test_reserve_comes_back_when_the_window_has_passed() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    assert [budget.take() for _ in range(RESERVE + 1)] == [True] * RESERVE + [False]
    clock.now += WINDOW_S
    assert budget.take()


def test_threads_together_take_no_more_than_there_is() -> None:
    budget = RetryBudget(clock=Clock())
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(budget.take() for _ in range(50))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == RESERVE


def test_calls_that_share_a_budget_stop_trying_when_it_is_used_up() -> None:
    budget = RetryBudget(clock=Clock())
    sent = 0
    for _ in range(500):
        network = Network(*[errors.InternalServerError("x")] * 3, jitter=0.0)
        with pytest.raises(errors.InternalServerError):
            RetryTransport(network, network.policy, budget, sleep=network.sleep).send(network.request())
        sent += len(network.sent)
    assert sent == 550


async def test_asynchronous_calls_share_a_budget_too() -> None:
    budget = RetryBudget(clock=Clock())
    networks = [Network(*[errors.InternalServerError("x")] * 3, jitter=0.0) for _ in range(300)]

    async def call(network: Network) -> None:
        twin = AsyncNetwork(network)
        transport = AsyncRetryTransport(twin, network.policy, budget, sleep=twin.sleep)
        with pytest.raises(errors.InternalServerError):
            await transport.send(network.request())

    await asyncio.gather(*map(call, networks))
    assert sum(len(network.sent) for network in networks) <= 330


def test_error_says_how_often_the_call_was_tried(send: Send) -> None:  # noqa: F811 - the fixture
    network = Network(*[errors.InternalServerError("x")] * 3)
    with pytest.raises(errors.InternalServerError) as caught:
        send(network, network.request(max_retries=2))
    assert caught.value.tries == 3
