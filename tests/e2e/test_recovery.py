"""vLLM processes killed while they serve: clients are told the truth, and service returns by itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import TYPE_CHECKING

import httpx
import pytest

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway
from gateway.processes import group_members, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LOG = logging.getLogger(__name__)
RECOVERY_S = 180.0
GONE_WITHIN_S = 5.0
# vLLM's API server looks for its engine core every 5 s, and ends when it finds it gone.
GONE_AFTER_CORE_WITHIN_S = 5.0 + GONE_WITHIN_S
LONG_STORY = {
    "model": CHAT,
    "messages": [{"role": "user", "content": "Tell a long story."}],
    "max_tokens": 4000,
    "ignore_eos": True,
    "stream": True,
}
SHORT = {"model": CHAT, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
TEXT = {"model": EMBEDDING, "input": "a cat"}


class Listener:
    """Reads a stream in a thread to its end, however it ends."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.received = b""
        self._url = f"{gateway.base_url}/chat/completions"
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        until(lambda: self.received.count(b"\n\n") > 3, timeout_s=60)

    def _read(self) -> None:
        with httpx.stream("POST", self._url, json=LONG_STORY, timeout=60) as reply:
            for piece in reply.iter_raw():
                self.received += piece

    def events(self) -> list[bytes]:
        """All events, once the stream has ended."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "the stream stalls"
        return self.received.split(b"\n\n")[:-1]


@dataclass
class Outage:
    """What calls got from the moment of the kill until one was served again."""

    refusals: list[httpx.Response] = field(default_factory=list)


def gone_after(group: int) -> float:
    """Wait until nothing of an engine's process group is alive; give how many seconds that took."""
    began_s = time.monotonic()
    until(lambda: not group_members(group), GONE_AFTER_CORE_WITHIN_S + 5)
    return time.monotonic() - began_s


def outlast(ask: Callable[[], httpx.Response]) -> Outage:
    """Repeat a call until it is served."""
    outage = Outage()
    started = time.monotonic()
    while (reply := ask()).status_code != 200:
        outage.refusals.append(reply)
        assert time.monotonic() - started < RECOVERY_S, f"no service again: {reply.text}"
        time.sleep(0.1)
    LOG.info("service was back after %.1f s", time.monotonic() - started)
    return outage


def assert_told_the_truth(outage: Outage, *, lost_calls: bool = False) -> None:
    """503 with a time to wait; with `lost_calls`, 502 before that, for calls that were lost on the way."""
    refusals = outage.refusals
    assert refusals, "the kill was not felt"
    if lost_calls:
        refusals = list(dropwhile(lambda reply: reply.status_code == 502, refusals))
    assert {reply.status_code for reply in refusals} == {503}
    for reply in refusals:
        assert int(reply.headers["retry-after"]) >= 1
        assert reply.json()["error"]["type"] == "api_error"


def assert_ends_in_an_error(events: list[bytes]) -> None:
    assert events[-1].startswith(b'data: {"error":')
    assert b"stream_interrupted" in events[-1]
    assert not any(b"[DONE]" in event for event in events)


def test_killed_engine_core_and_killed_api_server_come_back(gateway: LiveGateway) -> None:
    """A killed API server in the middle of streams is `faults/test_real_engines.py`."""
    story = Listener(gateway)
    core = gateway.engine_core_of(CHAT)
    chat_group, server = gateway.api_server_of(CHAT), gateway.api_server_of(EMBEDDING)
    assert all(len(group_members(group)) >= 2 for group in (chat_group, server))
    with httpx.Client(base_url=gateway.base_url, timeout=30) as http, ThreadPoolExecutor() as threads:
        os.kill(core, signal.SIGKILL)
        chat_gone = threads.submit(gone_after, chat_group)
        assert http.post("/embeddings", json=TEXT).status_code == 200, "the other model is not touched"
        os.kill(server, signal.SIGKILL)
        embedding_gone = threads.submit(gone_after, server)
        chat = threads.submit(outlast, lambda: http.post("/chat/completions", json=SHORT))
        embedding = threads.submit(outlast, lambda: http.post("/embeddings", json=TEXT))
        assert_told_the_truth(embedding.result())
        assert_told_the_truth(chat.result(), lost_calls=True)
        assert embedding_gone.result() < GONE_WITHIN_S, "the core of a killed API server holds its memory"
        assert chat_gone.result() < GONE_AFTER_CORE_WITHIN_S
    assert_ends_in_an_error(story.events())
    until(gateway.is_ready)
