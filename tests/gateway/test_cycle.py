"""A request's cycle is uvicorn's, made with less."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from lmaas_gateway.api.cycle import Bell, Cycle


def finish() -> None:
    """Nobody waits for the end of a response."""


class _Wire:
    """What a cycle writes to."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True


def protocol_over(transport: object, flow: object, logger: logging.Logger) -> Any:
    return SimpleNamespace(
        transport=transport,
        flow=flow,
        logger=logger,
        access_logger=logging.getLogger("b"),
        server_state=SimpleNamespace(default_headers=[]),
        tasks=set(),
        on_response_complete=finish,
    )


def test_cycle_begins_with_all_that_uvicorns_begins_with() -> None:
    given: dict[str, Any] = {
        "scope": {"method": "POST"},
        "transport": object(),
        "flow": object(),
        "logger": logging.getLogger("a"),
        "access_logger": logging.getLogger("b"),
        "default_headers": [],
    }
    protocol = protocol_over(given["transport"], given["flow"], given["logger"])
    event = asyncio.Event()
    theirs = RequestResponseCycle(
        **given,
        access_log=False,
        message_event=event,
        expect_100_continue=False,
        keep_alive=True,
        on_response=finish,
    )
    ours = Cycle(given["scope"], protocol)
    assert {name: getattr(ours, name) for name in vars(theirs)} == {
        **vars(theirs),
        "message_event": ours.message_event,
    }


async def crash(_scope: object, _receive: object, _send: object) -> None:
    message = "a mistake in an application"
    raise RuntimeError(message)


async def say_nothing(_scope: object, _receive: object, _send: object) -> None:
    """Forget to answer."""


async def stop_half_way(_scope: object, _receive: object, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


@pytest.mark.parametrize(
    ("application", "status", "is_closed"),
    [(crash, b"500", False), (say_nothing, b"500", False), (stop_half_way, b"200", True)],
)
async def test_request_that_is_not_answered_to_its_end_is_broken_off_told_and_forgotten(
    application: Any, status: bytes, is_closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    wire = _Wire()
    protocol = protocol_over(wire, SimpleNamespace(write_paused=False), logging.getLogger("a"))
    cycle = Cycle({"method": "POST"}, protocol)
    cycle.task = asyncio.create_task(cycle.run_asgi(application))
    protocol.tasks.add(cycle.task)
    await cycle.task
    assert wire.written.startswith(b"HTTP/1.1 " + status)
    assert not is_closed or wire.is_closed
    assert len(caplog.records) == 1
    assert not protocol.tasks


async def test_bell_wakes_who_waits_and_lets_pass_who_comes_later() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not bell.rings
    assert not any(task.done() for task in waiting)
    bell.set()
    await asyncio.gather(*waiting)
    await bell.wait()
    assert bell.rings


async def test_bell_that_is_cleared_is_waited_for_again() -> None:
    bell = Bell()
    bell.set()
    bell.clear()
    waiting = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    bell.set()
    await waiting
    bell.clear()
    again = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    assert not again.done()
    bell.set()
    await again
