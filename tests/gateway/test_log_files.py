"""The log file: shared by processes, begun anew when full, searched from its end, and followed."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.logs.files import RotatingFile, older_files
from lmaas_gateway.logs.outlet import opened
from lmaas_gateway.logs.reading import LogFilter, Tail, decode, find_last, follow
from lmaas_gateway.settings import LogFileSettings

if TYPE_CHECKING:
    from pathlib import Path


def _line(number: int, **fields: Any) -> bytes:
    line = {
        "time": f"2026-11-26T09:00:{number % 60:02}.000Z",
        "level": "info",
        "event": "call",
        "number": number,
    }
    return json.dumps({**line, **fields}).encode() + b"\n"


def _numbers(path: Path, wanted: LogFilter, limit: int = 100, keep: int = 3) -> list[int]:
    found = find_last([path, *older_files(path, keep)], wanted, limit)
    return [line["number"] for line in found.lines]


def test_full_file_moves_on_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    file = RotatingFile(path, max_bytes=len(_line(10)) * 3, keep=2)
    for number in range(10, 20):
        file.write(_line(number))
    file.close()
    kept = [one.read_bytes().count(b"\n") for one in (path, *older_files(path, 2))]
    assert kept == [1, 3, 3]
    assert not path.with_name("gateway.log.3").exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert _numbers(path, LogFilter()) == [13, 14, 15, 16, 17, 18, 19]


def test_file_without_older_ones_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    file = RotatingFile(path, max_bytes=len(_line(10)) * 2, keep=0)
    for number in range(10, 15):
        file.write(_line(number))
    assert _numbers(path, LogFilter(), keep=0) == [14]
    # What is longer than a whole file still is written once.
    file.write(b"x" * 1000 + b"\n")
    assert path.stat().st_size == 1001


def test_file_that_somebody_moved_or_removed_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    file = RotatingFile(path, max_bytes=10**6, keep=1)
    file.write(_line(1))
    path.rename(tmp_path / "moved")
    file.write(_line(2))
    path.unlink()
    file.write(_line(3))
    assert _numbers(path, LogFilter()) == [3]
    assert _numbers(tmp_path / "moved", LogFilter()) == [1]


def _write_many(path: Path, first: int) -> None:
    file = RotatingFile(path, max_bytes=4000, keep=90)
    for number in range(first, first + 300):
        file.write(_line(number))


def test_processes_that_share_a_file_lose_and_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write_many, args=(path, 1000 * n)) for n in range(1, 4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    numbers = _numbers(path, LogFilter(), limit=2000, keep=90)
    assert sorted(numbers) == [1000 * n + k for n in range(1, 4) for k in range(300)]


def test_last_lines_that_are_wanted_are_found_over_blocks_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmaas_gateway.logs.reading._BLOCK_BYTES", 100)
    path = tmp_path / "gateway.log"
    path.with_name("gateway.log.1").write_bytes(b"".join(_line(n, model="old") for n in range(5)))
    lines = [_line(n, model="a" if n % 2 else "b", outcome="ok") for n in range(5, 30)]
    path.write_bytes(b"not json\n" + b"".join(lines) + b'{"half":')
    assert _numbers(path, LogFilter(model="a"), limit=3) == [25, 27, 29]
    assert _numbers(path, LogFilter(model="old")) == [0, 1, 2, 3, 4]
    assert _numbers(path, LogFilter(since="2026-11-26T09:00:27Z")) == [27, 28, 29]
    assert _numbers(path, LogFilter(model="a", outcome="error")) == []
    assert find_last([path], LogFilter(), 3).has_more
    assert not find_last([path], LogFilter(since="2026-11-26T09:00:27Z"), 30).has_more
    monkeypatch.setattr("lmaas_gateway.logs.reading.MAX_SCANNED_BYTES", 500)
    cut = find_last([path], LogFilter(model="none"), 3)
    assert (cut.lines, cut.has_more) == ([], True)
    assert find_last([tmp_path / "none"], LogFilter(), 3).lines == []


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        ({"level": "warning"}, [False, False, True, True]),
        ({"level": "debug"}, [True, True, True, True]),
        ({"request_id": "req_2"}, [False, False, True, False]),
        ({"organization": "org_1", "outcome": "error"}, [False, False, True, False]),
    ],
)
def test_filter_takes_what_matches_in_all(wanted: dict[str, Any], takes: list[bool]) -> None:
    lines: list[dict[str, Any]] = [
        {"event": "no level"},
        {"level": "info", "request_id": "req_1", "organization": "org_1", "outcome": "ok"},
        {"level": "warning", "request_id": "req_2", "organization": "org_1", "outcome": "error"},
        {"level": "error"},
    ]
    assert [LogFilter(**wanted).takes(line) for line in lines] == takes


async def test_followed_lines_come_whole_and_over_the_move_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"

    async def sleep(_: float) -> None:
        return None

    coming = follow(Tail(path), LogFilter(model="a"), sleep=sleep)
    assert await anext(coming) == []
    path.write_bytes(_line(1, model="a") + _line(2, model="b")[:-5])
    assert [line["number"] for line in await anext(coming)] == [1]
    with path.open("ab") as file:
        file.write(_line(2, model="b")[-5:] + _line(3, model="a"))
    path.rename(tmp_path / "gateway.log.1")
    path.write_bytes(_line(4, model="a"))
    came = [line["number"] for _ in range(4) for line in await anext(coming)]
    assert came == [3, 4]
    await coming.aclose()  # type: ignore[attr-defined]  # a generator


def test_line_that_never_ends_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    path.write_bytes(b"")
    tail = Tail(path)
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
        file.flush()
        assert tail.read() == []
        assert len(tail._rest) == 0
        file.write(b"\n" + _line(1))
        file.flush()
    assert [decode(raw) is not None for raw in tail.read()] == [False, True]
    tail.close()
    tail.close()


def test_log_file_takes_all_lines(tmp_path: Path) -> None:
    import logging  # noqa: PLC0415 - one test's

    path = tmp_path / "gateway.log"
    loggers = [logging.getLogger(name) for name in ("lmaas", "uvicorn", "asyncio")]
    kept = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    try:
        with opened(LogFileSettings(path=path), "info") as write:
            write(b'{"event":"call","level":"info"}')
            logging.getLogger("lmaas.gateway").warning("a warning")
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, kept, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    assert [line["event"] for line in find_last([path], LogFilter(), 9).lines] == ["call", "a warning"]


def test_log_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"log_file.path .* cannot be written"),
        opened(LogFileSettings(path=tmp_path / "no" / "such"), "info"),
    ):
        pass
