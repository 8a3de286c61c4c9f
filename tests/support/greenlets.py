"""Lets coverage see what runs in greenlets, as SQLAlchemy's asynchronous work does.

Coverage's own way (`concurrency = greenlet`) asks at each call of any function which greenlet runs. That took
a third of the suite's time, and hung it: Python 3.11 never leaves a traced function that a pending call
starts while another waits, and coverage's is started so for each thread that has ended.

Here a greenlet is to coverage what a thread is: the tracer changes where greenlets switch, and nowhere else.
"""

from __future__ import annotations

import sys
import threading
from typing import Any
from weakref import WeakKeyDictionary

import greenlet  # type: ignore[import-untyped]  # it ships no types


class Tracers:
    """Coverage's tracer of each greenlet of a thread. One whose greenlet has ended goes to the next."""

    def __init__(self) -> None:
        self._waiting: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._free: list[Any] = []

    def switch(self, _event: str, greenlets: tuple[Any, Any]) -> None:
        """Follow a switch from one greenlet to another; `greenlet` calls it within the other."""
        origin, target = greenlets
        # What coverage has new threads begin with: it makes a tracer at its first event.
        beginning, tracer = threading.gettrace(), sys.gettrace()
        if not origin.dead:
            self._waiting[origin] = tracer
        elif tracer is not beginning:
            self._free.append(tracer)
        if target in self._waiting:
            sys.settrace(self._waiting.pop(target))
        else:
            sys.settrace(self._free.pop() if self._free else beginning)


def follow_greenlets() -> None:
    """Begin in this thread, if coverage traces it."""
    if sys.gettrace() is not None:
        greenlet.settrace(Tracers().switch)
