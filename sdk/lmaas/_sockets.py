"""Sockets that know how much of a call's time is left, for synchronous calls.

httpx takes its read timeout once a reply and starts it anew with each byte, so a server that drips, or sends
comments, could hold a call for ever. httpcore lets a client bring its own network; this one wraps
httpcore's and gives every single wait what remains of the call.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore

from lmaas._timer import Timer

_WRITE_BYTES = 1 << 18


class TimedBackend(httpcore.NetworkBackend):
    """httpcore's network, bounded by the timer of the call that the present thread is in."""

    def __init__(self, network: httpcore.NetworkBackend | None = None) -> None:
        self._network = network or httpcore.SyncBackend()
        self._thread = threading.local()

    def begin(self, timer: Timer) -> None:
        """Count the waits of this thread, from now on, for `timer`."""
        self._thread.timer = timer

    def allowed_s(self, timeout: float | None) -> float | None:
        """Return how long the next wait may be, with `timeout` as its own limit.

        Raises:
            httpcore.ReadTimeout: the call's time is over.
        """
        timer = self.timer
        remaining_s = None if timer is None else timer.remaining_s()
        if remaining_s is None:
            return timeout
        if remaining_s <= 0:
            raise httpcore.ReadTimeout("the call's time is over")
        return remaining_s if timeout is None else min(timeout, remaining_s)

    @property
    def timer(self) -> Timer | None:
        """The timer of the call that this thread is in."""
        timer: Timer | None = getattr(self._thread, "timer", None)
        return timer

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect, within what is left of the call."""
        stream = self._network.connect_tcp(host, port, self.allowed_s(timeout), local_address, socket_options)
        return _TimedStream(stream, self)


class _TimedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: TimedBackend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        timer = self._backend.timer
        if timer is None:
            return self._stream.read(max_bytes, timeout)
        timer.waits(self._shut)
        try:
            return self._stream.read(max_bytes, self._backend.allowed_s(timeout))
        finally:
            timer.waits(None)  # the connection may serve another call next

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], self._backend.allowed_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def _shut(self) -> None:
        # Closing would not wake the thread that reads. An SSLSocket's own shutdown would take TLS away from
        # under it; the plain one ends its wait and leaves the rest to it.
        with suppress(OSError):
            socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._backend.allowed_s(timeout))
        return _TimedStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
