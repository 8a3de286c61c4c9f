"""A request's cycle is uvicorn's, made with less."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from lmaas_gateway.api.cycle import Bell, Cycle


def finish() -> None:
    raise NotImplementedError


def test_cycle_begins_with_all_that_uvicorns_begins_with() -> None:
    given: dict[str, Any] = {
        "scope": {"method": "POST"},
        "transport": object(),
        "flow": object(),
        "logger": logging.getLogger("a"),
        "access_logger": logging.getLogger("b"),
        "default_headers": [],
    }
    protocol: Any = SimpleNamespace(
        **{name: value for name, value in given.items() if name not in {"scope", "default_headers"}},
        server_state=SimpleNamespace(default_headers=given["default_headers"]),
        on_response_complete=finish,
    )
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


async def test_bell_wakes_who_waits_and_lets_pass_who_comes_later() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not bell.is_set()
    assert not any(task.done() for task in waiting)
    bell.set()
    await asyncio.gather(*waiting)
    await bell.wait()
    assert bell.is_set()


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
