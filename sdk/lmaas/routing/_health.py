"""What this client has seen of one platform of late, and when it may be asked again."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import Final

from lmaas._circuit import OF_ONE_MODEL
from lmaas._timer import Clock
from lmaas.errors import (
    APIError,
    APIStatusError,
    AuthenticationError,
    CircuitOpenError,
    ContextLengthExceededError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)

WINDOW_S: Final = 300.0
_KEPT: Final = 256
_LIMITED_S: Final = 2.0
"""The rest after a 429 that does not say how long."""
_REFUSED_S: Final = 60.0
"""The rest after a key, a model or a route was refused: an operator has to act."""
_LONGEST_S: Final = 300.0
_NOT_IMPLEMENTED: Final = 501
_PAYMENT_REQUIRED: Final = 402


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    duration_s: float | None  # of a request whose reply began
    is_stream: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """A time in which a platform is not asked: all of it, or one of its models or routes."""

    until: float
    reason: str


class Health:
    """The recent past of one platform. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._seen: deque[_Seen] = deque(maxlen=_KEPT)
        self._rests: dict[str, Rest] = {}
        self._contexts: dict[str | None, int] = {}

    def succeeded(self, duration_s: float, *, is_stream: bool) -> None:
        """Take note of a reply that began after `duration_s`."""
        with self._lock:
            self._seen.append(_Seen(self._clock(), duration_s, is_stream))

    def broke(self, *, is_stream: bool) -> None:
        """Take note of a reply that broke off."""
        with self._lock:
            self._seen.append(_Seen(self._clock(), None, is_stream))

    def failed(self, error: APIError, *, route: str, model: str | None, is_stream: bool) -> None:
        """Take note of an error, and of how long the platform is left alone for it."""
        if isinstance(error, ContextLengthExceededError):
            if error.max_model_len:
                self._contexts[model] = error.max_model_len
            return
        if isinstance(error, CircuitOpenError) or _is_fault_of_call(error):
            return
        self.broke(is_stream=is_stream)
        key, seconds, reason = _rest_after(error, route, model)
        if seconds > 0:
            self._rest(key, Rest(self._clock() + min(seconds, _LONGEST_S), reason))

    def _rest(self, key: str, rest: Rest) -> None:
        with self._lock:
            present = self._rests.get(key)
            if present is None or present.until < rest.until:  # calls under way may be told less
                self._rests[key] = rest

    def context_tokens(self, model: str | None) -> int | None:
        """Return the context that the platform itself told of, when a call did not fit."""
        return self._contexts.get(model)

    def rest(self, route: str, model: str | None) -> Rest | None:
        """Return the rest that a call of `route` for `model` would disturb, the longest one."""
        now = self._clock()
        found = [self._rests.get(key) for key in ("", f"route {route}", f"model {model}")]
        active = [rest for rest in found if rest is not None and rest.until > now]
        return max(active, key=lambda rest: rest.until, default=None)

    def figures(self, percentile: float, least: int, *, is_stream: bool) -> tuple[float | None, int, int]:
        """Return the percentile of the times, None of fewer than `least`; failures; and all requests.

        Times are those of the same kind of call: a reply that is no stream begins when it is finished.
        """
        since = self._clock() - WINDOW_S
        with self._lock:
            recent = [seen for seen in self._seen if seen.at >= since]
        times = sorted(s.duration_s for s in recent if s.duration_s is not None and s.is_stream == is_stream)
        failures = sum(seen.duration_s is None for seen in recent)
        if len(times) < least:
            return None, failures, len(recent)
        return times[math.ceil(percentile * len(times)) - 1], failures, len(recent)


def _rest_after(error: APIError, route: str, model: str | None) -> tuple[str, float, str]:
    """Return what gets a rest, for how many seconds, and why."""
    status = error.status_code
    if isinstance(error, ModelNotFoundError):
        return f"model {model}", _REFUSED_S, "it said that it has no such model"
    if isinstance(error, NotFoundError | MethodNotAllowedError) or status == _NOT_IMPLEMENTED:
        return f"route {route}", _REFUSED_S, "it said that it has no such route"
    if isinstance(error, AuthenticationError | PermissionDeniedError) or status == _PAYMENT_REQUIRED:
        return "", _REFUSED_S, f"it refused the key ({status})"
    if error.retry_after_s is not None:
        whose = f"model {model}" if error.code in OF_ONE_MODEL else ""
        return whose, error.retry_after_s, f"it asked to wait ({status or 'no status'})"
    if isinstance(error, RateLimitError):
        return "", _LIMITED_S, "it said that there were too many calls (429)"
    return "", 0.0, ""


def _is_fault_of_call(error: APIError) -> bool:
    """Tell whether a platform did well to refuse: its figures are not to suffer for what callers send."""
    return isinstance(error, APIStatusError) and not helps_elsewhere(error)


def helps_elsewhere(error: APIError) -> bool:
    """Tell whether another platform may do better where this one ended with `error`.

    What is wrong with the request itself is wrong everywhere.
    """
    if not isinstance(error, APIStatusError):
        return error.default_is_retryable
    status = error.status_code or 0
    if isinstance(error, ContextLengthExceededError | NotFoundError | MethodNotAllowedError):
        return True
    return status in {401, 402, 403, 408, 429} or status >= 500
