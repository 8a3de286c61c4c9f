"""Replicas that die, hang or cannot be reached: F1 to F7."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from faults.clients import ASK, asking
from faults.gateways import get, metric
from faults.invariants import attempts_by_id, check_amplification
from faults.namespaces import FarReplica
from faults.world import QUICK, replica_processes, replicas_here, world_of
from lmaas import (
    APITimeoutError,
    GatewayTimeoutError,
    ServiceUnavailableError,
    StreamInterruptedError,
    Timeout,
)
from lmaas_gateway.testing import FaultProxy
from lmaas_gateway.testing.toxics import Timeout as Silence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faults.clients import History, Told


@pytest.mark.fault("F1")
async def test_replica_killed_before_the_first_byte_is_seen_by_no_client(tmp_path: Path) -> None:
    async with (
        # Long enough for a slow machine to have many calls under way before the first reply.
        replica_processes(tmp_path, 3, headers_delay_s=3.0) as replicas,
        world_of(*replicas, timeouts={**QUICK, "first_byte_s": 8.0, "total_s": 20.0}, deadline_s=25) as world,
    ):
        asked = asyncio.create_task(world.history.calls_of(*[asking(stream=n % 2 == 0) for n in range(200)]))
        await world.until(lambda: replicas[0].running() >= 30, within_s=20)
        await replicas[0].kill()
        told = await asked
        assert {one.outcome for one in told} == {"ok"}
        twice = [tries for tries in attempts_by_id(world.attempts()).values() if len(tries) == 2]
        assert len(twice) >= 30
        assert await metric(world.gateway.port, "lmaas_replica_failures_total", replica="mock-0") >= 30
        assert (await get(world.gateway.port, "/readyz")).json["models"]["mock"]["state"] == "degraded"


@pytest.mark.fault("F2")
async def test_replica_killed_in_mid_stream_ends_its_streams_and_no_others(tmp_path: Path) -> None:
    async with (
        replica_processes(tmp_path, 2, token_gap_s=0.02) as replicas,
        world_of(*replicas) as world,
    ):
        asked = [
            asyncio.create_task(world.history.call(asking(stream=True, tokens=random.randint(60, 90))))
            for _ in range(40)
        ]
        await world.until(lambda: all_have_events(world.history, 40, 5))
        # None of its streams can end between this look and the kill.
        replicas[0].stop()
        doomed = {one.request_id for one in replicas[0].attempts() if one.outcome is None}
        await replicas[0].kill()
        killed_s = asyncio.get_running_loop().time()
        told = await asyncio.gather(*asked)
        assert doomed
        for one in told:
            assert one.outcome == ("interrupted" if one.request_id in doomed else "ok")
            if one.request_id in doomed:
                _assert_stream_interrupted(one)
                assert one.ended_s is not None
                assert one.ended_s - killed_s < 1
                assert one.tokens > 0


def all_have_events(history: History, calls: int, events: int, *, streams: bool = False) -> bool:
    """Whether so many calls have begun; with `streams`, plain ones need not have."""
    watched = [told for told in history.calls if told.is_stream or not streams]
    return len(history.calls) == calls and all(len(told.events) > events for told in watched)


def _assert_stream_interrupted(told: Told) -> None:
    assert told.code == "stream_interrupted"
    assert told.error["type"]
    assert not told.is_done
    assert told.is_whole, "the connection must end in order, after the error event"


@pytest.mark.fault("F2")
async def test_sdk_raises_with_the_partial_text_of_a_lost_stream(tmp_path: Path) -> None:
    async with (
        replica_processes(tmp_path, 2, token_gap_s=0.02, text="word") as replicas,
        world_of(*replicas) as world,
        world.sdk(max_retries=2) as client,
    ):
        stream = await client.chat.completions.create(**ASK, max_tokens=100, stream=True)
        text = ""
        with pytest.raises(StreamInterruptedError) as caught:  # noqa: PT012 - the loop is what raises
            async for chunk in stream:
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
                if len(text) > 20:
                    await asyncio.gather(*(one.kill() for one in replicas if one.running()))
        assert caught.value.is_retryable
        assert caught.value.partial_text is not None
        assert caught.value.partial_text.startswith("word word")
        assert sum(len(one.attempts()) for one in replicas) == 1 + 4, "one call, and the four of the warm-up"


@pytest.mark.fault("F3")
async def test_outage_of_all_replicas_is_said_quickly_and_ends_by_itself(tmp_path: Path) -> None:
    async with replica_processes(tmp_path, 2) as replicas, world_of(*replicas) as world:
        await asyncio.gather(*(one.kill() for one in replicas))
        await world.until_ready(503)
        told = await world.history.calls_of(*[asking(stream=n % 2 == 0) for n in range(60)])
        assert {one.status for one in told} == {503}
        assert all(1 <= int(one.headers["retry-after"]) <= 30 for one in told)
        alone = await world.history.call(asking())
        assert alone.took_s < 0.5, "a known outage is told at once"
        check_amplification(world.history.calls, world.attempts())
        async with world.sdk() as client:
            with pytest.raises(ServiceUnavailableError) as caught:
                await client.chat.completions.create(**ASK)
            assert caught.value.retry_after_s is not None
        await asyncio.gather(*(one.start() for one in replicas))
        await world.until_ready()
        assert (await world.history.call(asking())).outcome == "ok"


@pytest.mark.fault("F4")
async def test_stopped_replica_costs_its_calls_one_deadline_and_no_error(tmp_path: Path) -> None:
    async with replica_processes(tmp_path, 2) as replicas, world_of(*replicas) as world:
        replicas[0].stop()
        told = await world.history.calls_of(*[asking(stream=n % 2 == 0) for n in range(20)])
        replicas[0].go_on()
        assert {one.outcome for one in told} == {"ok"}
        assert max(one.took_s for one in told) < QUICK["first_byte_s"] + 2


@pytest.mark.fault("F4")
async def test_stopped_replica_reads_late_what_was_given_up_and_works_for_nobody(tmp_path: Path) -> None:
    async with (
        replica_processes(tmp_path, 2, headers_delay_s=0.1) as (stopped, other),
        world_of(stopped, other, timeouts={**QUICK, "first_byte_s": 0.5}) as world,
    ):
        stopped.stop()
        told = await world.history.calls_of(*[asking(stream=n % 2 == 0) for n in range(8)])
        moved = [one for one in told if world.line_of(one)["attempts"] == 2]
        assert moved
        assert all(len(world.attempts_of(one)) == 1 for one in moved), "it has read none of them yet"
        went_on_s = time.monotonic()
        stopped.go_on()
        await world.until(lambda: all(len(world.attempts_of(one)) == 2 for one in moved))
        await world.until(lambda: not stopped.running())
        for one in moved:
            late, answered = sorted(world.attempts_of(one), key=lambda attempt: attempt.name)
            assert one.outcome == "ok"
            assert one.first_byte_s is not None
            assert answered.at_s <= one.first_byte_s < went_on_s < late.at_s
            assert (late.name.number, answered.name.number) == (1, 2)
            assert (late.outcome, late.tokens) == ("aborted", 0)


@pytest.mark.fault("F4")
async def test_replica_that_never_answers_ends_in_504_and_frees_its_slot() -> None:
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas) as world,
        world.sdk() as client,
    ):
        told = await world.history.call(asking(fault="hang"))
        assert (told.status, told.code) == (504, "replica_timeout")
        with pytest.raises(GatewayTimeoutError):
            await client.chat.completions.create(**ASK, extra_body={"fake": {"fault": "hang"}})
        assert await metric(world.gateway.port, "lmaas_requests_in_flight") == 0


@pytest.mark.fault("F5")
async def test_stall_between_tokens_ends_in_an_error_event() -> None:
    async with replicas_here(2) as replicas, world_of(*replicas) as world:
        told = await world.history.call(
            asking(stream=True, fault="hang", fault_at="after_events", fault_events=5)
        )
        _assert_stream_interrupted(told)
        assert QUICK["idle_s"] <= told.took_s < QUICK["idle_s"] + 1
        assert len(told.events) == 5 + 1


@pytest.mark.fault("F5")
async def test_comments_keep_a_silent_stream_alive_and_move_no_timer_of_the_sdk() -> None:
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, stream_keep_alive_s=0.3, timeouts={**QUICK, "idle_s": 3.0}) as world,
        world.sdk(timeout=Timeout(inter_token=1.0)) as client,
    ):
        silent: dict[str, Any] = {"fault": "hang", "fault_at": "after_events", "fault_events": 5}
        told = await world.history.call(asking(stream=True, **silent))
        _assert_stream_interrupted(told)
        assert told.comments >= 3
        stream = await client.chat.completions.create(
            **ASK, stream=True, max_tokens=50, extra_body={"fake": silent}
        )
        started = time.monotonic()
        with pytest.raises(APITimeoutError) as caught:
            [chunk async for chunk in stream]
        assert caught.value.deadline == "inter_token"
        assert time.monotonic() - started < 2.5


@pytest.mark.fault("F6")
async def test_silent_connection_is_lost_after_its_deadline() -> None:
    async with (
        replicas_here(1, token_gap_s=0.02) as replicas,
        FaultProxy(replicas[0].url) as proxy,
        world_of(*replicas, urls=[proxy.url]) as world,
        world.history.open(asking(stream=True, tokens=500)) as talk,
    ):
        await talk.until_events(5)
        proxy.to_client.append(Silence())
        proxy.to_upstream.append(Silence())
        told = await talk.finish()
        _assert_stream_interrupted(told)
        assert told.took_s < QUICK["idle_s"] + 2
        await proxy.down()
        proxy.heal()
        await proxy.up()
        await world.until_ready()
        assert (await world.history.call(asking())).outcome == "ok"


@pytest.mark.fault("F6")
async def test_half_open_connection_to_a_host_that_vanished(tmp_path: Path) -> None:
    """The far end of a cable goes down: no FIN, no RST, no ICMP; packets are lost."""
    async with (
        FarReplica(tmp_path, "far", token_gap_s=0.02) as far,
        replicas_here(1) as (near,),
        world_of(far, near, timeouts={**QUICK, "first_byte_s": 2.0}) as world,
    ):
        streams = [asyncio.create_task(world.history.call(asking(stream=True, tokens=400))) for _ in range(4)]
        plain = [asyncio.create_task(world.history.call(asking(headers_delay_s=0.7))) for _ in range(4)]
        await world.until(lambda: far.running() >= 2 and all_have_events(world.history, 8, 3, streams=True))
        doomed = {one.request_id for one in far.attempts() if one.outcome is None}
        await far.link("down")
        for one in await asyncio.gather(*streams):
            if one.request_id in doomed:
                _assert_stream_interrupted(one)
                assert one.ended_s is not None
                assert one.last_byte_s is not None
        assert {one.outcome for one in await asyncio.gather(*plain)} == {"ok"}
        await world.until_state("degraded")
        told = await world.history.calls_of(*[asking() for _ in range(5)])
        assert {one.outcome for one in told} == {"ok"}
        await far.link("up")
        await world.until_state("ready")


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes no more connections: its backlog is full, and nobody accepts."""
    with socket.socket() as listener, socket.socket() as filler, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for one in (filler, second):
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.fault("F7")
@pytest.mark.parametrize("what", ["refused", "deaf", "nameless"])
async def test_replica_that_cannot_be_reached_costs_nobody_a_call(what: str, deaf_port: int) -> None:
    urls = {
        "refused": "http://127.0.0.1:1",
        "deaf": f"http://127.0.0.1:{deaf_port}",
        "nameless": "http://no-such-host.invalid:8000",
    }
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, urls=[urls[what], replicas[0].url], is_ready=False) as world,
    ):
        told = await world.history.calls_of(*[asking(stream=n % 2 == 0) for n in range(10)])
        assert {one.outcome for one in told} == {"ok"}
        assert max(one.took_s for one in told) < QUICK["connect_s"] + 1
        assert all(len(tries) == 1 for tries in attempts_by_id(world.attempts()).values())


@pytest.mark.fault("F7")
async def test_sdk_tries_again_while_the_only_replica_is_away() -> None:
    async with (
        replicas_here(1) as replicas,
        FaultProxy(replicas[0].url) as proxy,
        world_of(*replicas, urls=[proxy.url]) as world,
        world.sdk(max_retries=3) as client,
    ):
        await proxy.down()
        asked = asyncio.create_task(client.chat.completions.create(**ASK))
        await asyncio.sleep(0.3)
        await proxy.up()
        assert (await asked).choices[0].finish_reason
