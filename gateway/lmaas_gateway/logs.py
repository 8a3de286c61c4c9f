"""Where log lines go: written in batches by a thread of its own, so that a slow disk never holds a call."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

_FLUSH_INTERVAL_S = 0.1
_MAX_WAITING_LINES = 20_000


class LineWriter:
    """Collects lines and writes them a few times a second.

    When the sink takes none for so long that `_MAX_WAITING_LINES` wait, newer lines are dropped and
    counted, and the count is written once the sink takes lines again.

    Args:
        sink: A binary file.
        executor: Runs the writing; one thread keeps the order.
    """

    def __init__(self, sink: BinaryIO, executor: ThreadPoolExecutor | None = None) -> None:
        self._sink = sink
        self._executor = executor or ThreadPoolExecutor(1, "lmaas-log")
        self._lines: list[bytes] = []
        self._dropped = 0
        self._is_scheduled = False
        self._is_closed = False

    def write(self, line: bytes) -> None:
        """Take one line without its end. Must be called in the event loop's thread."""
        if len(self._lines) >= _MAX_WAITING_LINES:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_later(_FLUSH_INTERVAL_S, self._flush)

    def close(self) -> None:
        """Write what is left and end the thread; a line that comes later is lost."""
        self._is_closed = True
        self._executor.shutdown(wait=True)
        self._write_out(self._take())

    def _flush(self) -> None:
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._executor, self._write_out, self._take()).add_done_callback(self._flushed)

    def _flushed(self, done: asyncio.Future[None]) -> None:
        self._is_scheduled = bool(self._lines)
        if self._lines and not done.cancelled():
            asyncio.get_running_loop().call_later(_FLUSH_INTERVAL_S, self._flush)

    def _take(self) -> bytes:
        lines, self._lines = self._lines, []
        if self._dropped:
            lines.append(b'{"event":"access log lines dropped","count":%d}' % self._dropped)
            self._dropped = 0
        return b"".join(line + b"\n" for line in lines)

    def _write_out(self, data: bytes) -> None:
        try:
            self._sink.write(data)
            self._sink.flush()
        except (OSError, ValueError):
            # The reader of our output is gone: serving goes on without it.
            return


class JsonFormatter(logging.Formatter):
    """Writes a log record as one JSON line; of an exception, only its class and place."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        """Write the record. The text of an exception may hold a prompt, so it is left out."""
        fields: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock())),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = getattr(record, "request_id", None)
        if request_id:
            fields["request_id"] = request_id
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
            fields["where"] = _where(record)
        return json.dumps(fields)


def configure(level: str) -> None:
    """Send the records of gateway, server and event loop to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name in ("lmaas", "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel("WARNING" if level == "info" and name != "lmaas" else level.upper())


def _where(record: logging.LogRecord) -> str:
    trace = record.exc_info[2] if record.exc_info else None
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}.{code.co_name}:{trace.tb_lineno}"
