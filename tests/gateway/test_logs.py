"""Log lines: written beside the work, dropped and counted when nobody takes them, without prompts."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.logs import lines as log_lines
from lmaas_gateway.logs import writer as log_writer
from lmaas_gateway.logs.lines import FIELDS, JsonFormatter
from lmaas_gateway.logs.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sink(io.BytesIO):
    """Takes lines, or holds its writer until told."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()
        self.may_write.set()
        self.is_writing = threading.Event()

    def write(self, data: object) -> int:
        self.is_writing.set()
        assert self.may_write.wait(10)
        return super().write(data)  # type: ignore[arg-type]  # bytes, always

    @property
    def lines(self) -> list[str]:
        return self.getvalue().decode().splitlines()


async def until(sink: Sink, count: int) -> None:
    async with asyncio.timeout(5):
        while len(sink.lines) < count:
            await asyncio.sleep(0.01)


async def test_lines_are_written_in_order_within_moments() -> None:
    sink = Sink()
    writer = LineWriter(sink)
    for number in range(100):
        writer.write(b"%d" % number)
    await until(sink, 100)
    writer.write(b"later")
    await until(sink, 101)
    assert sink.lines == [*map(str, range(100)), "later"]
    writer.close()


async def test_closing_writes_what_is_left_and_nothing_goes_wrong_after() -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    sink = Sink()
    writer = LineWriter(sink)
    writer.write(b"last")
    writer.close()
    assert sink.lines == ["last"]
    writer.write(b"too late")
    await asyncio.sleep(0.15)
    assert not failures


async def test_stuck_sink_holds_nobody_and_dropped_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_MAX_WAITING_LINES", 10)
    monkeypatch.setattr(log_writer, "_FLUSH_INTERVAL_S", 0.01)
    sink = Sink()
    sink.may_write.clear()
    writer = LineWriter(sink)
    writer.write(b"first")
    await asyncio.to_thread(sink.is_writing.wait, 5)
    for number in range(25):
        writer.write(b"%d" % number)
    sink.may_write.set()
    await until(sink, 12)
    assert sink.lines[:11] == ["first", *map(str, range(10))]
    dropped = json.loads(sink.lines[11])
    assert (dropped["event"], dropped["count"], dropped["level"]) == (
        "access log lines dropped",
        15,
        "warning",
    )
    assert set(dropped) <= FIELDS
    writer.write(b"again")
    await until(sink, 13)
    assert sink.lines[12] == "again"
    writer.close()


async def test_closing_does_not_wait_for_a_stuck_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_CLOSE_TIMEOUT_S", 0.05)
    sink = Sink()
    sink.may_write.clear()
    writer = LineWriter(sink)
    writer.write(b"stuck")
    await asyncio.to_thread(sink.is_writing.wait, 5)
    writer.close()
    assert sink.lines == []
    sink.may_write.set()


async def test_sink_that_is_gone_does_not_end_the_serving() -> None:
    sink = Sink()
    writer = LineWriter(sink)
    sink.close()
    writer.write(b"nobody reads")
    writer.close()


def record_of(level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("lmaas.gateway", level, "", 0, "a %s", ("message",), None)
    record.__dict__.update(fields)
    return record


class Disk(io.RawIOBase):
    """A disk with so much room."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)[: self.room_bytes]  # type: ignore[call-overload]  # any buffer
        if not piece:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room_bytes -= len(piece)
        self.written += piece
        return len(piece)


@pytest.mark.parametrize("room_bytes", [0, 1, 50, 5000])
async def test_full_disk_loses_and_tears_no_line(room_bytes: int) -> None:
    disk = Disk(room_bytes)
    writer = LineWriter(disk)
    lines = [b'{"line":%d}' % number for number in range(2000)]
    for line in lines[:1500]:
        writer.write(line)
    await asyncio.sleep(0.3)
    assert len(disk.written) == room_bytes
    disk.room_bytes = 2**20
    for line in lines[1500:]:
        writer.write(line)
    writer.close()
    assert disk.written.splitlines() == lines


def test_record_is_one_json_line() -> None:
    text = JsonFormatter(clock=lambda: 0.25).format(record_of(request_id="req_1"))
    assert json.loads(text) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "lmaas.gateway",
        "event": "a message",
        "request_id": "req_1",
    }


def test_field_that_is_not_allowed_is_left_out() -> None:
    text = JsonFormatter().format(record_of(prompt="my secret prompt", messages=[1], model="m", api_key="k"))
    assert set(json.loads(text)) == {"time", "level", "logger", "event", "model"}


def test_structlog_writes_the_same_shape() -> None:
    record = record_of(logging.WARNING)
    record.__dict__.update(
        args=(), _logger=None, _name="warning", msg={"event": "a message", "count": 3, "prompt": "x"}
    )
    line = json.loads(JsonFormatter(clock=lambda: 0.0).format(record))
    assert (line["level"], line["logger"], line["event"], line["count"]) == (
        "warning",
        "lmaas.gateway",
        "a message",
        3,
    )
    assert "prompt" not in line


def test_exception_is_told_by_class_and_place_and_never_by_its_text() -> None:
    try:
        json.loads("my secret prompt")
    except ValueError:
        text = JsonFormatter().format(record_of(logging.ERROR, exc_info=sys.exc_info()))
    fields = json.loads(text)
    assert fields["exception"] == "JSONDecodeError"
    assert fields["where"].startswith("json.decoder.raw_decode:")
    assert "secret" not in text


def test_exception_without_a_trace_has_no_place() -> None:
    error = ValueError("x")
    text = JsonFormatter().format(record_of(exc_info=(ValueError, error, None)))
    assert json.loads(text)["where"] == ""
    assert "exception" not in json.loads(JsonFormatter().format(record_of(exc_info=(None, None, None))))


@pytest.fixture
def restored_loggers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("lmaas", "uvicorn", "asyncio")]
    kept = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, kept, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.usefixtures("restored_loggers")
def test_server_and_event_loop_log_without_texts_of_exceptions_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_lines.configure("info")
    for name in ("uvicorn.error", "asyncio", "lmaas.gateway"):
        try:
            raise ValueError("my secret prompt")
        except ValueError:
            logging.getLogger(name).exception("failed")
    logging.getLogger("uvicorn.error").info("Started server process")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in lines] == ["uvicorn.error", "asyncio", "lmaas.gateway"]
    assert {line["exception"] for line in lines} == {"ValueError"}
    assert "secret" not in str(lines)


@pytest.mark.usefixtures("restored_loggers")
def test_level_is_as_configured(capsys: pytest.CaptureFixture[str]) -> None:
    log_lines.configure("error")
    logging.getLogger("lmaas").warning("no")
    logging.getLogger("lmaas").error("yes")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["yes"]
