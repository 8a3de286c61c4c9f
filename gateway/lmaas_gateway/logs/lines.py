"""What a log line looks like: JSON, of fields that are named here and no others.

Every line has `time`, `level`, `logger` and `event`. Lines of calls are formatted beside the hot path
(`accounting.py`), all others come through here, out of `logging` or structlog. Prompts, replies and keys have
no field.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    Event = MutableMapping[str, Any]

ACCESS = "lmaas.access"
"""The logger of calls; their `event` is `call`."""

CALL_FIELDS = frozenset(
    {
        "method",
        "route",
        "organization",
        "project",
        "principal",
        "model",
        "replica",
        "stream",
        "status",
        "outcome",
        "code",
        "cache",
        "attempts",
        "queue_ms",
        "duration_ms",
        "first_byte_ms",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "usage_estimated",
    }
)
FIELDS = CALL_FIELDS | {
    "time",
    "level",
    "logger",
    "event",
    "request_id",
    "exception",
    "where",
    "count",
    "canary",
    "problem",
}
"""All fields that a line may have."""


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Writes a log record as one JSON line; of an exception, only its class and place.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        super().__init__(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(FIELDS - {"time", "level", "logger", "event"})],
            processors=[self._name, _place_exception, _keep_allowed, _render],
        )

    def _name(self, logger: Any, method: str, event: Event) -> Event:
        del logger, method
        record: logging.LogRecord = event["_record"]
        now = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        head = {"time": f"{stamp}.{int(now % 1 * 1000):03d}Z", "level": record.levelname.lower()}
        return {**head, "logger": record.name, **event}


def configure(level: str, write: Callable[[bytes], None] | None = None) -> None:
    """Send what gateway, server and event loop have to say on as JSON lines.

    Args:
        level: The least severity.
        write: Takes a line; None writes to standard error.
    """
    handler = logging.StreamHandler() if write is None else _LineHandler(write)
    handler.setFormatter(JsonFormatter())
    for name in ("lmaas", "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel("WARNING" if level == "info" and name != "lmaas" else level.upper())


class _LineHandler(logging.Handler):
    """Hands lines to who writes them.

    Args:
        write: Takes one line.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record).encode())


def _place_exception(logger: Any, method: str, event: Event) -> Event:
    """Name an exception and where it was raised. Its text may hold a prompt, so it is left out."""
    del logger, method
    kind, _, trace = event.pop("exc_info", None) or (None, None, None)
    if kind is not None:
        event["exception"] = kind.__name__
        event["where"] = _where(trace)
    return event


def _where(trace: Any) -> str:
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}.{code.co_name}:{trace.tb_lineno}"


def _keep_allowed(logger: Any, method: str, event: Event) -> Event:
    del logger, method
    return {name: value for name, value in event.items() if name in FIELDS}


def _render(logger: Any, method: str, event: Event) -> str:
    del logger, method
    return msgspec.json.encode(event, enc_hook=str).decode()
