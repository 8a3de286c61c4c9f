"""Callers who need not be asked for: known by the header that they came with, for as long as that holds."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.call import Principal

Header = tuple[bytes, bytes]
"""Name and value, as they were sent."""
KNOWN_WITHIN_S = 5.0
"""After this long no change of a caller is unknown anywhere."""


class Caller:
    """Who comes with a header.

    Args:
        principal: Who that is.
        until_s: How long that is known, by the clock of `Warm`.

    Attributes:
        sure_until_s: Until when no change can have gone unseen, since it was just asked for, whatever
            becomes of all the others.
        header: Under which the caller is kept, if under any.
        is_used: Whether it called since somebody last asked.
    """

    __slots__ = ("header", "is_used", "principal", "sure_until_s", "until_s")

    def __init__(self, principal: Principal, until_s: float) -> None:
        self.principal = principal
        self.until_s = until_s
        self.sure_until_s = -math.inf
        self.header: Header | None = None
        self.is_used = True


class Warm:
    """Remembers callers; one spelling of each, so that who plays with blanks makes no memory grow.

    Args:
        clock: Monotonic seconds.

    Attributes:
        trusted_until_s: Until when no change of any caller can have gone unseen; then all are asked for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callers: dict[Header, Caller] = {}
        self.trusted_until_s = math.inf

    def __len__(self) -> int:
        return len(self._callers)

    def recall(self, header: Header) -> Principal | None:
        """Tell who comes with this header, if that is known and holds."""
        caller = self._callers.get(header)
        if caller is None:
            return None
        now_s = self._clock()
        if now_s >= caller.until_s or (now_s >= self.trusted_until_s and now_s >= caller.sure_until_s):
            return None
        caller.is_used = True
        return caller.principal

    def keep(self, header: Header, caller: Caller) -> None:
        """Remember that this caller comes with this header."""
        if caller.header != header:
            self.forget(caller)
            caller.header = header
            self._callers[header] = caller

    def forget(self, caller: Caller) -> None:
        """Let this caller be asked for again."""
        if caller.header is not None:
            del self._callers[caller.header]
            caller.header = None
