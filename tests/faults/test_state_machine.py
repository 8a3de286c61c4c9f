"""Faults in any order, drawn by hypothesis, on real processes and sockets; the driver is the judge."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from faults.driver import Driver, driving

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")

STEPS = int(os.environ.get("LMAAS_TEST_FAULTS_STEPS", "120"))
SEED = int(os.environ.get("LMAAS_TEST_FAULTS_SEED", "20261125"))
STEPS_OF_A_RUN = 40
STEP_WITHIN_S = 60.0

replicas = st.integers(0, 2)


class Loop:
    """An event loop in a thread of its own, for tests that cannot be coroutines."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, within_s: float = STEP_WITHIN_S) -> T:
        """Wait for a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Faults(RuleBasedStateMachine):
    """Each rule does one thing; the driver's own checks, and the invariants at the end, judge."""

    loop: ClassVar[Loop]
    driver: ClassVar[Driver]
    steps: ClassVar[int] = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        type(self).steps += 1
        return self.loop.run(work)

    @rule(number=replicas)
    def kill(self, number: int) -> None:
        self.run(self.driver.kill(number))

    @rule(number=replicas)
    def start(self, number: int) -> None:
        self.run(self.driver.start(number))

    @rule(number=replicas)
    def stop(self, number: int) -> None:
        self.run(self.driver.stop(number))

    @rule(number=replicas)
    def go_on(self, number: int) -> None:
        self.run(self.driver.go_on(number))

    @rule(number=replicas)
    def slow(self, number: int) -> None:
        self.run(self.driver.slow(number))

    @rule(number=replicas)
    def cut(self, number: int) -> None:
        self.run(self.driver.cut(number))

    @rule(number=replicas)
    def heal(self, number: int) -> None:
        self.run(self.driver.heal(number))

    @rule(broken=st.booleans())
    def reload(self, broken: bool) -> None:
        self.run(self.driver.reload(broken=broken))

    @rule(stream=st.booleans())
    def call(self, stream: bool) -> None:
        self.run(self.driver.call(stream=stream))

    @rule()
    def wait(self) -> None:
        self.run(asyncio.sleep(0.3))

    @rule(tokens=st.integers(5, 60))
    def stream(self, tokens: int) -> None:
        self.run(self.driver.open_stream(tokens))

    @rule(chance=st.floats(0, 1))
    def leave(self, chance: float) -> None:
        self.run(self.driver.leave(chance))

    @invariant()
    def gateway_is_live(self) -> None:
        self.loop.run(self.driver.check_live())

    def teardown(self) -> None:
        self.loop.run(self.driver.heal_all())
        self.loop.run(self.driver.end_streams())


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[type[Faults]]:
    """The machine over one set of processes; at the end the invariants are checked."""
    loop = Loop()
    scene = driving(folder)
    try:
        driver = loop.run(scene.__aenter__())
        try:
            yield type("Machine", (Faults,), {"loop": loop, "driver": driver})
        except BaseException as error:
            with contextlib.suppress(BaseException):
                loop.run(scene.__aexit__(type(error), error, None))
            raise
        loop.run(scene.__aexit__(None, None, None))
    finally:
        loop.close()


@pytest.mark.fault("M1")
@pytest.mark.timeout(900)
def test_faults_in_any_order(tmp_path: Path) -> None:
    with machine(tmp_path) as made:
        rules = settings(
            max_examples=max(1, STEPS // STEPS_OF_A_RUN),
            stateful_step_count=STEPS_OF_A_RUN,
            deadline=None,
            database=None,
            # A failure that depends on time cannot be made smaller by trying again.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(SEED)(made), settings=rules)
        print(f"{made.steps} steps of seed {SEED}")  # noqa: T201 - what one needs to repeat it
