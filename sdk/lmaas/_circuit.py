"""A circuit breaker: calls to a server that has failed again and again fail at once, and it gets a rest.

Closed, calls pass. After enough failures in a row it opens, and calls are refused. After a rest one call is
let through to see: if the server answers, the circuit closes, else it stays open for as long again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, Literal, TypeAlias

from lmaas._options import CircuitBreaker
from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport
from lmaas._request import Request
from lmaas._timer import Clock
from lmaas.errors import APIConnectionError, APIError, APIStatusError, APITimeoutError, CircuitOpenError

State: TypeAlias = Literal["closed", "open", "half-open"]

OF_ONE_MODEL: Final = frozenset(
    {
        "model_failed",
        "model_not_ready",
        "model_stopped",
        "replica_busy",
        "replica_error",
        "replica_unavailable",
    }
    | {"replica_timeout", "bad_replica_reply"}
)
"""Codes of a gateway's errors that tell of one of its models, not of the gateway."""
_NOT_IMPLEMENTED: Final = 501
_PROBE_WAIT_S: Final = 1.0


def is_failure_of_server(error: APIError) -> bool:
    """Tell whether `error` speaks of the server as a whole: not reached, too late, or its own failure.

    Not the request's fault, nor that of one model behind a gateway, nor of this client's pool.
    """
    if isinstance(error, APITimeoutError):
        return error.deadline != "pool"
    if isinstance(error, APIConnectionError):
        return error.should_retry is not False
    if not isinstance(error, APIStatusError) or error.code in OF_ONE_MODEL:
        return False
    return (error.status_code or 0) >= 500 and error.status_code != _NOT_IMPLEMENTED


class Circuit:
    """The circuit to one base URL, shared by all calls of a client. Safe to share between threads."""

    def __init__(self, base_url: str, limits: CircuitBreaker, *, clock: Clock = time.monotonic) -> None:
        self._base_url = base_url
        self._limits = limits
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._failing_since = 0.0
        self._open_until: float | None = None
        self._is_probing = False
        self._last = ""

    @property
    def state(self) -> State:
        """Whether calls pass, are refused, or one may pass to see."""
        open_until = self._open_until  # another thread may close it between two looks
        if open_until is None:
            return "closed"
        return "open" if self._clock() < open_until else "half-open"

    @property
    def wait_s(self) -> float:
        """Seconds until a call may pass; 0 if one may now."""
        open_until = self._open_until
        return 0.0 if open_until is None else max(0.0, open_until - self._clock())

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Let one request pass, and learn from how it ends.

        Raises:
            CircuitOpenError: the circuit is open, or half open with a request under way.
        """
        is_probe = self._open_until is not None
        if is_probe:
            self._begin_probe()
        try:
            yield
        except APIError as error:
            self._learn(error)
            raise
        else:
            self._learn(None)
        finally:
            if is_probe:
                self._is_probing = False

    def _begin_probe(self) -> None:
        with self._lock:
            if self._open_until is None:
                return
            wait_s = self._open_until - self._clock()
            if wait_s <= 0 and not self._is_probing:
                self._is_probing = True
                return
        raise self._refusal(wait_s if wait_s > 0 else _PROBE_WAIT_S)

    def _learn(self, error: APIError | None) -> None:
        if error is None or not is_failure_of_server(error):
            if self._failures:
                self._close()
            return
        with self._lock:
            self._failures += 1
            self._last = type(error).__name__
            now = self._clock()
            if self._failures == 1:
                self._failing_since = now
            if self._open_until is not None or self._is_hopeless(now):
                self._open_until = now + self._limits.open_s

    def _is_hopeless(self, now: float) -> bool:
        # Fifty calls that fail together are one event, such as a restart, which retries get over.
        lasts_long = now - self._failing_since >= self._limits.min_failing_s
        return lasts_long and self._failures >= self._limits.consecutive_failures

    def _close(self) -> None:
        with self._lock:
            self._failures = 0
            self._open_until = None

    def _refusal(self, wait_s: float) -> CircuitOpenError:
        return CircuitOpenError(
            f"Not sent: the last {self._failures} requests to {self._base_url} failed, the last one with "
            f"{self._last}. The next may pass in {wait_s:.1f} s; is the server running? "
            "(circuit_breaker=False turns this off.)",
            retry_after_s=wait_s,
        )


class CircuitTransport:
    """Sends calls through another transport while the circuit lets them pass."""

    def __init__(self, transport: Transport, circuit: Circuit) -> None:
        self._transport = transport
        self._circuit = circuit

    def send(self, request: Request) -> Reply:
        """Send a call; see `Transport.send`. Raises `CircuitOpenError` too."""
        with self._circuit.guard():
            return self._transport.send(request)


class AsyncCircuitTransport:
    """The asynchronous twin of `CircuitTransport`."""

    def __init__(self, transport: AsyncTransport, circuit: Circuit) -> None:
        self._transport = transport
        self._circuit = circuit

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `CircuitTransport.send`."""
        with self._circuit.guard():
            return await self._transport.send(request)
