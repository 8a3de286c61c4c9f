"""Calls under way, by whom they are for: they can be ended when a key is revoked or expires."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.meter import Meter


class RunningCalls:
    """The calls under way, of keys that may have to be cut off."""

    def __init__(self) -> None:
        self._calls: dict[str, set[Meter]] = {}

    def enter(self, key: str, meter: Meter) -> Callable[[], None]:
        """Take note of a call that begins; give what must be done when it has ended."""
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = set()
        calls.add(meter)
        return partial(calls.discard, meter)

    def __contains__(self, key: str) -> bool:
        return bool(self._calls.get(key))

    def __iter__(self) -> Iterator[str]:
        """Give the keys that have calls, and forget the others: no call that ends has to."""
        self._calls = {key: calls for key, calls in self._calls.items() if calls}
        return iter(self._calls)

    def end(self, key: str, error: GatewayError) -> int:
        """End all calls of a key with this error, or this error event, and tell how many; they are billed."""
        calls = tuple(self._calls.get(key, ()))
        for meter in calls:
            meter.cut(error)
        return len(calls)
