"""Calls under way, by whom they are for: they can be ended when a key is revoked or expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.meter import Meter


class RunningCall:
    """One call."""

    __slots__ = ("_calls", "_key", "_meter")

    def __init__(self, calls: dict[str, set[RunningCall]], key: str, meter: Meter) -> None:
        self._calls = calls
        self._key = key
        self._meter = meter

    def leave(self) -> None:
        """It has ended."""
        calls = self._calls[self._key]
        calls.discard(self)
        if not calls:
            del self._calls[self._key]

    def end(self, error: GatewayError) -> None:
        """End it with this error, or this error event; what was made is billed."""
        self._meter.cut(error)


class RunningCalls:
    """The calls under way, of keys that may have to be cut off."""

    def __init__(self) -> None:
        self._calls: dict[str, set[RunningCall]] = {}

    def enter(self, key: str, meter: Meter) -> RunningCall:
        """Take note of a call that begins; its `leave` goes on its exits."""
        call = RunningCall(self._calls, key, meter)
        calls = self._calls.get(key)
        if calls is None:
            self._calls[key] = {call}
        else:
            calls.add(call)
        return call

    def __contains__(self, key: str) -> bool:
        return key in self._calls

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def end(self, key: str, error: GatewayError) -> int:
        """End all calls of a key; tell how many."""
        calls = tuple(self._calls.get(key, ()))
        for call in calls:
            call.end(error)
        return len(calls)
