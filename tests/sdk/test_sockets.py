from __future__ import annotations

import ssl
from typing import Any

import httpcore
import pytest

from lmaas import Timeout
from lmaas._sockets import TimedBackend
from lmaas._timer import Timer


class Wire(httpcore.NetworkBackend, httpcore.NetworkStream):
    """A network and its one connection, which note how long they may wait; each wait takes a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.allowed: list[float | None] = []
        self.written: list[bytes] = []
        self.is_closed = False

    def _wait(self, timeout: float | None) -> None:
        self.allowed.append(timeout)
        self.now += 1.0

    def connect_tcp(self, *args: Any, **_kwargs: Any) -> httpcore.NetworkStream:
        self._wait(args[2])
        return self

    def start_tls(self, *args: Any, **_kwargs: Any) -> httpcore.NetworkStream:
        self._wait(args[2])
        return self

    def read(self, *args: Any, **_kwargs: Any) -> bytes:
        self._wait(args[1])
        return b"x"

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._wait(timeout)
        self.written.append(buffer)

    def get_extra_info(self, info: str) -> Any:
        return info

    def close(self) -> None:
        self.is_closed = True


def test_each_wait_of_a_connection_is_given_what_is_left_of_the_call() -> None:
    wire = Wire()
    backend = TimedBackend(wire)
    backend.begin(Timer(Timeout(total=10.0), lambda: wire.now, is_stream=False))
    stream = backend.connect_tcp("h", 1, timeout=5.0)
    stream = stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "h", timeout=5.0)
    stream.write(b"x")
    assert stream.read(1) == b"x"
    assert wire.allowed == [5.0, 5.0, 8.0, 7.0]


def test_wait_is_not_begun_when_the_time_is_over() -> None:
    wire = Wire()
    backend = TimedBackend(wire)
    backend.begin(Timer(Timeout(total=1.0), lambda: wire.now, is_stream=False))
    stream = backend.connect_tcp("h", 1)
    with pytest.raises(httpcore.ReadTimeout):
        stream.read(1)
    assert len(wire.allowed) == 1


def test_large_body_is_written_in_parts_each_with_its_time() -> None:
    wire = Wire()
    backend = TimedBackend(wire)
    backend.begin(Timer(Timeout(total=10.0), lambda: wire.now, is_stream=False))
    backend.connect_tcp("h", 1).write(b"x" * 600_000)
    assert b"".join(wire.written) == b"x" * 600_000
    assert wire.allowed == [10.0, 9.0, 8.0, 7.0]


@pytest.mark.parametrize("has_call", [True, False])
def test_wait_without_a_deadline_keeps_its_own(has_call: bool) -> None:
    wire = Wire()
    backend = TimedBackend(wire)
    if has_call:
        backend.begin(Timer(Timeout.of(None), lambda: wire.now, is_stream=False))
    stream = backend.connect_tcp("h", 1, timeout=5.0)
    stream.read(1)
    assert wire.allowed == [5.0, None]
    assert stream.get_extra_info("socket") == "socket"
    stream.close()
    assert wire.is_closed
