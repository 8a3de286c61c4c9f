"""A client that leaves must not keep the engine busy: seen in vLLM's own count of running calls."""

from __future__ import annotations

import json
import logging
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from e2e.live_gateway import CHAT, LiveGateway
from gateway.processes import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LOG = logging.getLogger(__name__)
RUNNING = "vllm:num_requests_running"
WITHIN_S = 1.0
POLL_S = 0.1
"""One look at vLLM's metrics may take this long."""


def begin(gateway: LiveGateway, path: str, **params: object) -> socket.socket:
    """Send a call that would run for minutes; return its connection."""
    body = json.dumps({"model": CHAT, "max_tokens": 4000, "ignore_eos": True, **params}).encode()
    parts = urlsplit(gateway.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {request_id_of(path)}\r\n"
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def request_id_of(path: str) -> str:
    return "e2e-gone" + path.replace("/", ".")


def seconds_until_idle(gateway: LiveGateway) -> float:
    started = time.monotonic()
    until(lambda: gateway.engine_metric(CHAT, RUNNING) == 0)
    return time.monotonic() - started


@pytest.fixture
def idle(gateway: LiveGateway) -> Iterator[LiveGateway]:
    until(lambda: gateway.engine_metric(CHAT, RUNNING) == 0)
    yield gateway
    until(lambda: gateway.metric("lmaas_requests_in_flight") == 0)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Tell a long story."}]}),
        ("/v1/completions", {"prompt": "Once upon a time"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "Tell a long story."}]}),
    ],
)
def test_client_gone_in_mid_stream_frees_the_engine_within_a_second(
    idle: LiveGateway, path: str, params: dict[str, object]
) -> None:
    with closing(begin(idle, path, stream=True, **params)) as connection:
        assert b" 200 " in connection.recv(4096)
        until(lambda: idle.engine_metric(CHAT, RUNNING) == 1)
    took_s = seconds_until_idle(idle)
    LOG.info("the engine was idle %.2f s after the client left", took_s)
    assert took_s <= WITHIN_S + POLL_S
    assert idle.log_line(request_id_of(path))["outcome"] == "client_gone"


def test_client_gone_before_its_whole_reply_frees_the_engine_within_a_second(idle: LiveGateway) -> None:
    messages = [{"role": "user", "content": "Tell a long story."}]
    with closing(begin(idle, "/v1/chat/completions", messages=messages)):
        until(lambda: idle.engine_metric(CHAT, RUNNING) == 1)
    took_s = seconds_until_idle(idle)
    LOG.info("the engine was idle %.2f s after the client left", took_s)
    assert took_s <= WITHIN_S + POLL_S


def test_many_clients_gone_at_once_free_the_engine_within_a_second(idle: LiveGateway) -> None:
    messages = [{"role": "user", "content": "Tell a long story."}]
    connections = [begin(idle, "/v1/chat/completions", stream=True, messages=messages) for _ in range(16)]
    until(lambda: idle.engine_metric(CHAT, RUNNING) == 16, timeout_s=30)
    for connection in connections:
        connection.close()
    took_s = seconds_until_idle(idle)
    LOG.info("the engine was idle %.2f s after the client left", took_s)
    assert took_s <= WITHIN_S + POLL_S
