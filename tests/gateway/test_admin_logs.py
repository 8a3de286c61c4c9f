"""`/admin/v1/logs`, the SDK's `admin.logs` and `lmaas logs`: lines of calls found again, and followed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmaas import AsyncLMaaS, LMaaS, NotFoundError, StreamError
from lmaas.cli import main
from lmaas.cli._logs import _text
from lmaas_gateway.logs.files import RotatingFile
from lmaas_gateway.testing import FakeReplica
from support.serving import ASK, CHAT, run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.serving import Running

KEY = "the-operators-key-of-this-world"
OPERATOR = f"authorization: Bearer {KEY}"


@contextlib.asynccontextmanager
async def logging_gateway(path: Path | None) -> AsyncIterator[Running]:
    """A gateway whose lines of calls stand in a file."""
    async with FakeReplica() as replica:
        settings = settings_for(replica, admin_key=KEY, log_file={"path": path})
        async with run_gateway(settings) as running:
            if path is not None:
                file = RotatingFile(path, max_bytes=10**6, keep=1)
                running.lines = _Written(file)
                running.gateway._counting.accounting._log._log = running.lines.append  # type: ignore[union-attr]  # it has one here
            yield running


class _Written(list[bytes]):
    def __init__(self, file: RotatingFile) -> None:
        super().__init__()
        self._file = file

    def append(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        super().append(line)


async def test_operator_finds_a_call_by_its_id_and_nobody_else_may(tmp_path: Path) -> None:
    async with logging_gateway(tmp_path / "log") as running:
        for name in ("req_a", "req_b"):
            await running.post(CHAT, ASK, f"x-request-id: {name}")
        await running.post(CHAT, {**ASK, "model": "none"}, "x-request-id: req_c")
        await running.logged(3)
        found = await running.get("/admin/v1/logs?request_id=req_b", OPERATOR)
        (line,) = found.json["data"]
        assert (line["event"], line["model"], line["outcome"], line["level"]) == (
            "call",
            "mock",
            "ok",
            "info",
        )
        warned = await running.get("/admin/v1/logs?level=warning", OPERATOR)
        assert [line["request_id"] for line in warned.json["data"]] == ["req_c"]
        last = await running.get("/admin/v1/logs?limit=1", OPERATOR)
        assert (len(last.json["data"]), last.json["has_more"]) == (1, True)
        assert (await running.get("/admin/v1/logs", "authorization: Bearer another-key-of-16")).status == 401
        assert (await running.get("/admin/v1/logs?level=loud", OPERATOR)).status == 400
        assert (await running.get("/admin/v1/logs?limit=5000", OPERATOR)).status == 400


async def test_gateway_without_a_log_file_says_what_to_set() -> None:
    async with logging_gateway(None) as running:
        refused = await running.get("/admin/v1/logs", OPERATOR)
        assert (refused.status, refused.error["code"]) == (404, "not_found")
        assert "log_file.path" in refused.error["message"]


async def test_client_lists_and_follows_lines(tmp_path: Path) -> None:
    async with logging_gateway(tmp_path / "log") as running:
        options: dict[str, Any] = {
            "base_url": f"http://127.0.0.1:{running.port}",
            "admin_key": KEY,
            "max_retries": 0,
        }
        await running.post(CHAT, ASK, "x-request-id: req_before")
        await running.logged(1)
        async with AsyncLMaaS(**options) as client:
            lines = await client.admin.logs.follow(model="mock")
            came = [(await anext(lines))["request_id"]]
            await running.post(CHAT, {**ASK, "model": "none"}, "x-request-id: req_other")
            await running.post(CHAT, ASK, "x-request-id: req_after")
            came.append((await anext(lines))["request_id"])
            await lines.close()
            assert came == ["req_before", "req_after"]
            assert len((await client.admin.logs.list(outcome="ok")).data) == 2
        routes = running.gateway._current.snapshot.application._fallback._application.routes  # type: ignore[attr-defined]  # whatever stands between
        log_route = next(route for route in routes if route.path == "/admin/v1/logs")
        await running.until(lambda: log_route.endpoint.__self__._followers == 0)

        def in_a_thread() -> list[str]:
            with LMaaS(**options) as client, client.admin.logs.follow(limit=1) as lines:
                return [
                    next(iter(lines))["request_id"],
                    client.admin.logs.list(limit=1).data[0]["request_id"],
                ]

        assert await asyncio.to_thread(in_a_thread) == ["req_after", "req_after"]


async def test_command_reads_the_gateways_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with logging_gateway(tmp_path / "log") as running:
        monkeypatch.setenv("LMAAS_ADMIN_KEY", KEY)
        monkeypatch.setenv("LMAAS_BASE_URL", f"http://127.0.0.1:{running.port}/v1")
        for name in ("req_a", "req_b"):
            await running.post(CHAT, ASK, f"x-request-id: {name}")
        await running.logged(2)
        assert await asyncio.to_thread(main, ["logs", "--lines", "1", "--since", "1h"]) == 0
        said = capsys.readouterr()
        assert [json.loads(line)["request_id"] for line in said.out.splitlines()] == ["req_b"]
        assert "older lines" in said.err
    async with logging_gateway(None) as running:
        monkeypatch.setenv("LMAAS_BASE_URL", f"http://127.0.0.1:{running.port}/v1")
        assert await asyncio.to_thread(main, ["logs"]) == 1
        assert "log_file.path" in capsys.readouterr().err
        url = f"http://127.0.0.1:{running.port}"
        with LMaaS(base_url=url, admin_key=KEY, max_retries=0) as client, pytest.raises(NotFoundError):
            await asyncio.to_thread(client.admin.logs.follow)


class TestFile:
    LINES = (
        {
            "time": "2026-11-26T09:00:00.000Z",
            "level": "info",
            "event": "call",
            "request_id": "req_1",
            "model": "a",
        },
        {"time": "2026-11-26T09:00:01.000Z", "level": "error", "event": "failed", "logger": "lmaas"},
    )

    def _file(self, tmp_path: Path) -> Path:
        path = tmp_path / "log"
        path.write_text("".join(json.dumps(line) + "\n" for line in self.LINES) + "Traceback\n")
        return path

    def test_command_reads_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["logs", "--file", str(self._file(tmp_path)), "--level", "error"]) == 0
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [self.LINES[1]]

    def test_command_reads_standard_input(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with self._file(tmp_path).open() as file:
            monkeypatch.setattr("sys.stdin", file)
            assert main(["logs", "--file", "-", "--model", "a"]) == 0
        assert json.loads(capsys.readouterr().out) == self.LINES[0]

    def test_command_follows_a_file_until_it_is_stopped(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self._file(tmp_path)
        later = {**self.LINES[0], "request_id": "req_2"}
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) > 1:
                raise KeyboardInterrupt
            with path.open("a") as file:
                file.write(json.dumps(later) + "\n")

        monkeypatch.setattr(time, "sleep", sleep)
        assert main(["logs", "--file", str(path), "--follow", "--model", "a"]) == 130
        ids = [json.loads(line)["request_id"] for line in capsys.readouterr().out.splitlines()]
        assert ids == ["req_1", "req_2"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--file", "/no/such/file"], "there is no file"),
            (["--since", "yesterday"], "is no time"),
            (["--lines", "0"], "is no number"),
            (["--level", "loud"], "invalid choice"),
        ],
    )
    def test_command_says_what_it_cannot_do(
        self, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with contextlib.suppress(SystemExit):
            assert main(["logs", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_people_read_a_call_in_one_line_without_control_characters() -> None:
    call = {
        "time": "2026-11-26T09:00:00.123Z",
        "level": "error",
        "event": "call",
        "request_id": "req_1",
        "route": CHAT,
        "model": "smol\x1b[31m\nlm",
        "status": 503,
        "outcome": "error",
        "code": "queue_full",
        "duration_ms": 12.34,
        "first_byte_ms": 0.0,
        "queue_ms": 4.6,
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "project": "proj_1",
    }
    assert _text(call) == (
        "09:00:00.123 error   503 error queue_full  12 ms, first byte 0 ms, queued 5 ms, 3+5 tokens  "
        f"{CHAT}  smol[31m lm  req_1  proj_1"
    )
    event = {
        "time": "2026-11-26T09:00:01.000Z",
        "level": "warning",
        "logger": "lmaas.gateway",
        "event": "slow disk",
    }
    assert _text({**event, "request_id": "req_1", "where": "x:1"}) == (
        "09:00:01.000 warning lmaas.gateway: slow disk  req_1  where=x:1"
    )


async def test_stream_ends_in_an_error_when_the_gateway_stops_and_does_not_hold_it_up(tmp_path: Path) -> None:
    async with logging_gateway(tmp_path / "log") as running:
        url = f"http://127.0.0.1:{running.port}"
        async with AsyncLMaaS(base_url=url, admin_key=KEY, max_retries=0) as client:
            lines = await client.admin.logs.follow()
            ending = asyncio.create_task(_drain(lines))
            # As at a signal, but for the end of the server, which waits for those who are served.
            running.gateway.announce_stop()
            async with asyncio.timeout(5):
                with pytest.raises(StreamError):
                    await ending


async def _drain(lines: Any) -> None:
    async for _ in lines:
        pass
