"""Where log lines go: written in batches by a thread of its own, so that a slow disk never holds a call."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

_FLUSH_INTERVAL_S = 0.1
_MAX_WAITING_LINES = 20_000
_CLOSE_TIMEOUT_S = 2.0
_DROPPED = (
    b'{"time":"%b","level":"warning","logger":"lmaas.access","event":"access log lines dropped","count":%d}'
)


class Sink(Protocol):
    """What takes lines."""

    def write(self, data: bytes, /) -> int | None:
        """Take some of `data`; tell how many bytes."""

    def flush(self) -> None:
        """Pass on what was taken."""


class LineWriter:
    """Collects lines, which a thread writes a few times a second.

    A sink that takes none, such as a full disk, is offered the same lines again, so that each is written
    whole and once. When it takes none for so long that `_MAX_WAITING_LINES` wait, newer lines are dropped
    and counted, and the count is written once the sink takes lines again.

    Args:
        sink: A binary file without a buffer: one that fails would not tell how much of it was written.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lines: deque[bytes] = deque()
        self._rest = b""
        # One counts in the loop's thread, the other in the writer's: neither needs a lock.
        self._dropped = 0
        self._reported = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lmaas-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take one line without its end."""
        if len(self._lines) >= _MAX_WAITING_LINES:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is left, unless the sink is stuck, and end; a line that comes later is lost."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._write_out()
            self._closing.wait(_FLUSH_INTERVAL_S)
        self._write_out()

    def _write_out(self) -> None:
        try:
            while data := self._rest or self._take():
                self._rest = data
                taken = self._sink.write(data)
                if not taken:
                    return
                self._rest = data[taken:]
            self._sink.flush()
        except (BrokenPipeError, ValueError):
            # The reader of our output is gone: serving goes on without it.
            self._rest = b""
        except OSError:
            # No room: what is left goes first when there is.
            return

    def _take(self) -> bytes:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if dropped := self._dropped - self._reported:
            lines.append(
                _DROPPED % (time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()).encode(), dropped)
            )
            self._reported += dropped
        return b"\n".join(lines) + b"\n" if lines else b""
