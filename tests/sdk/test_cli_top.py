"""`lmaas top` and `lmaas alerts`: what they show of views and alerts, as tables, JSON and on a screen."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rich.console import Console

from lmaas import APIResponseValidationError, AsyncLMaaS, LMaaS
from lmaas.cli import main
from lmaas.cli._top_rows import sparkline
from lmaas.cli._top_screen import Screen
from lmaas.cli._top_spend import Surroundings
from lmaas.types import LiveView
from sdk.test_admin import TOTAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import respx

ROOT = "http://lmaas.test/admin/v1"
SPREAD = {"count": 10, "mean_s": 0.2, "p50_s": 0.12, "p90_s": 0.3, "p95_s": 1.5, "p99_s": 2.0}
FLOW = {
    "calls": 120,
    "calls_per_s": 2.0,
    "codes": {"2xx": 117, "5xx": 3},
    "error_rate": 0.025,
    "prompt_tokens": 60_000,
    "cached_tokens": 10_000,
    "completion_tokens": 30_000,
    "prompt_tokens_per_s": 1000.0,
    "completion_tokens_per_s": 500.0,
    "ttft": SPREAD,
    "inter_token": SPREAD,
}
ENGINE = {"running": 3, "waiting": 1, "kv_cache_usage": 0.42}


def replica(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": "ready",
        "problem": "",
        "in_flight": 4,
        "flow": FLOW,
        "engine": ENGINE,
    } | fields


def model(name: str, *replicas: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "chat",
        "state": "degraded",
        "in_flight": 4,
        "waiting": 2,
        "capacity": 256,
        "queue_wait": SPREAD,
        "flow": FLOW,
        "replicas": list(replicas),
    }


def view_of(*models: dict[str, Any]) -> dict[str, Any]:
    last = {"at": 1_800_000_000, "calls": 2, "completion_tokens": 500}
    return {
        "at": 1_800_000_000,
        "window_s": 60,
        "covered_s": 60,
        "total": FLOW,
        "in_flight": 4,
        "waiting": 2,
        "models": list(models),
        "last": last,
    }


VIEW = view_of(
    model("chat", replica("chat-0"), replica("chat-1", state="down", problem="no connection", engine=None)),
    model("embed", replica("embed-0", flow={}, engine=None)) | {"capacity": 0},
)
ALERT = {
    "id": "alrt_1",
    "name": "ReplicaDown",
    "state": "firing",
    "severity": "ticket",
    "model": "chat",
    "replica": "chat-1",
    "summary": "chat-1 of chat is down: no connection",
    "started_at": 1_800_000_000,
}
PRICE = {
    "id": "chat",
    "input_per_million_nanos": 10**9,
    "cached_input_per_million_nanos": 10**8,
    "output_per_million_nanos": 2 * 10**9,
    "gpu_second_nanos": 0,
    "gpus": 1,
}


class Gateway:
    """Answers with this view, as one or as events, and with alerts, prices and books if it has any."""

    def __init__(self, router: respx.MockRouter, *, has_books: bool = True, views: int = 2) -> None:
        self.queries: list[str] = []
        self.silenced: Any = None
        self._has_books = has_books
        self._views = views
        router.route(url__startswith=ROOT).mock(side_effect=self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/admin/v1")
        if path == "/live":
            self.queries.append(str(request.url.query, "ascii"))
            if request.headers["accept"] == "text/event-stream":
                events = "".join(f"data: {json.dumps(VIEW)}\n\n" for _ in range(self._views))
                return httpx.Response(200, text=events, headers={"content-type": "text/event-stream"})
            return httpx.Response(200, json=VIEW)
        if path == "/alerts":
            return httpx.Response(200, json={"data": [ALERT, {**ALERT, "id": "alrt_2", "state": "resolved"}]})
        if path == "/alerts/alrt_1/silence":
            self.silenced = json.loads(request.content)
            return httpx.Response(200, json={**ALERT, "silenced_until": 1_800_007_200})
        return self._books(path)

    def _books(self, path: str) -> httpx.Response:
        if not self._has_books:
            error = {
                "message": "No route",
                "type": "invalid_request_error",
                "param": None,
                "code": "not_found",
            }
            return httpx.Response(404, json={"error": error})
        if path == "/prices":
            return httpx.Response(200, json={"data": [PRICE]})
        return httpx.Response(200, json={"data": [{**TOTAL, "cost_nanos": 12 * 10**9}]})


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAAS_BASE_URL", "http://lmaas.test")
    monkeypatch.setenv("LMAAS_ADMIN_KEY", "the-admin-key")


Out = pytest.CaptureFixture[str]


def test_once_shows_models_replicas_alerts_and_spend(respx_mock: respx.MockRouter, capsys: Out) -> None:
    gateway = Gateway(respx_mock)
    assert main(["top", "--once", "--window", "300"]) == 0
    out = capsys.readouterr().out
    assert gateway.queries == ["window_s=300"]
    head, alert, *_ = out.splitlines()
    assert "2.0 calls/s  1,000 + 500 tokens/s  4 in flight, 2 waiting  today $12.00  1 alerts" in head
    assert alert == "ticket: chat-1 of chat is down: no connection"
    rows = [line.split() for line in out.splitlines()]
    # 50,000 fresh, 10,000 cached and 30,000 generated tokens a minute.
    chat = [
        "chat",
        "degraded",
        "2.0",
        "2.5%",
        "120",
        "ms",
        "1.50",
        "s",
        "120",
        "ms",
        "500",
        "4/256",
        "2",
        "1.50",
        "s",
        "$6.66",
    ]
    assert chat in rows
    assert not any(cell.endswith("/0") for row in rows for cell in row), "none where it is not known"
    assert next(row for row in rows if row[:1] == ["embed"])[-1] == "-"
    assert next(row for row in rows if row[:1] == ["all"])[-1] == "$6.66"
    assert ["chat-0", "chat", "ready", "4", "3", "1", "42%", "500", "120", "ms"] in rows
    assert ["chat-1", "chat", "down", "4", "-", "-", "-", "500", "120", "ms", "no", "connection"] in rows


def test_gateway_without_books_shows_no_spend(respx_mock: respx.MockRouter, capsys: Out) -> None:
    Gateway(respx_mock, has_books=False)
    assert main(["top", "--once"]) == 0
    out = capsys.readouterr().out
    assert "today -" in out
    assert "$" not in out.replace("$/H", "")


def test_json_is_what_the_gateway_said_once_or_a_line_a_second(
    respx_mock: respx.MockRouter, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gateway(respx_mock)
    assert main(["top", "--once", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == VIEW

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lmaas.cli._top.time.sleep", stop)
    assert main(["top", "--json"]) == 130
    shown = capsys.readouterr()
    assert [json.loads(line) for line in shown.out.splitlines()] == [VIEW, VIEW]
    assert "the gateway stops; trying again" in shown.err


def test_plain_tables_follow_each_other_without_a_terminal(
    respx_mock: respx.MockRouter, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gateway(respx_mock)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lmaas.cli._top.time.sleep", stop)
    assert main(["top"]) == 130
    assert capsys.readouterr().out.count("REPLICA ") == 2


def test_gateway_that_was_never_there_is_an_error(respx_mock: respx.MockRouter, capsys: Out) -> None:
    respx_mock.route(url__startswith=ROOT).mock(side_effect=httpx.ConnectError("refused"))
    assert main(["top"]) == 1
    assert "lmaas:" in capsys.readouterr().err


def test_key_is_needed_and_a_window_must_be_one(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    with pytest.raises(SystemExit):
        main(["top", "--window", "901"])
    assert "from 1 to 900" in capsys.readouterr().err
    monkeypatch.delenv("LMAAS_ADMIN_KEY")
    assert main(["top"]) == 2
    assert "set LMAAS_ADMIN_KEY" in capsys.readouterr().err


def draw(view: dict[str, Any], *, width: int, height: int, told: str = "") -> str:
    """What a terminal of this size shows of a view."""
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    with LMaaS(base_url="http://lmaas.test", admin_key="k") as client:
        around = Surroundings(client.admin)
        around.refresh(1_800_000_000.0)
        screen = Screen(around, console)
        screen.show(LiveView.model_validate(view))
        if told:
            screen.tell(told)
    file.truncate(0)
    file.seek(0)
    console.print(screen)
    return file.getvalue()


@pytest.mark.parametrize(("width", "height"), [(160, 50), (100, 30), (60, 20)])
def test_screen_fits_the_terminal_whatever_its_size(
    respx_mock: respx.MockRouter, width: int, height: int
) -> None:
    Gateway(respx_mock)
    many = view_of(model("chat", *(replica(f"chat-{number}") for number in range(60))))
    lines = draw(many, width=width, height=height).splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert "more)" in text
    assert "calls/s" in text


def test_screen_says_why_nothing_comes_and_keeps_what_was_shown(respx_mock: respx.MockRouter) -> None:
    Gateway(respx_mock)
    text = draw(VIEW, width=160, height=50, told="the gateway stops")
    assert "the gateway stops" in text
    assert "embed-0" in text


def test_names_and_problems_cannot_move_the_cursor_or_mark_up(respx_mock: respx.MockRouter) -> None:
    Gateway(respx_mock)
    hostile = view_of(model("[red]x[/]", replica("a\x1b[2J\x07b", state="down", problem="[link=http://x]y")))
    text = draw(hostile, width=160, height=50)
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "[red]x[/]" in text


def test_narrow_terminal_shows_fewer_columns_and_cuts_no_figure(respx_mock: respx.MockRouter) -> None:
    Gateway(respx_mock)
    wide, narrow = (draw(VIEW, width=width, height=40) for width in (160, 72))
    assert "WAIT P95" in wide
    assert "WAIT P95" not in narrow
    assert "4/256" in narrow
    assert "degraded" in narrow
    assert "42%" in narrow


def test_bars_are_as_high_as_their_values() -> None:
    assert sparkline([0, 1, 4, 8]) == "▁▂▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def test_gpus_cost_whoever_calls(respx_mock: respx.MockRouter) -> None:
    Gateway(respx_mock)
    with LMaaS(base_url="http://lmaas.test", admin_key="k") as client:
        around = Surroundings(client.admin)
        around.refresh(0.0)
        around._prices["chat"].gpu_second_nanos = 10**6
        view = LiveView.model_validate(view_of(model("chat", replica("a"), replica("b", state="down"))))
        cost = around.per_hour(view.models[0], 60)
        assert cost == pytest.approx(6.66e9 + 3600 * 10**6)


async def test_async_client_watches_too(respx_mock: respx.MockRouter) -> None:
    Gateway(respx_mock)
    async with AsyncLMaaS(base_url="http://lmaas.test", admin_key="k") as client:
        assert (await client.admin.live.show()).models[0].name == "chat"
        stream = await client.admin.live.watch(window_s=5)
        assert [view.at async for view in stream] == [1_800_000_000] * 2


def test_event_that_is_no_view_is_a_typed_error(respx_mock: respx.MockRouter) -> None:
    headers = {"content-type": "text/event-stream"}
    respx_mock.get(ROOT + "/live").mock(httpx.Response(200, text="data: {}\n\n", headers=headers))
    client = LMaaS(base_url="http://lmaas.test", admin_key="k", max_retries=0)
    with client, pytest.raises(APIResponseValidationError):
        list(client.admin.live.watch())


def test_alerts_are_listed_and_silenced(respx_mock: respx.MockRouter, capsys: Out) -> None:
    gateway = Gateway(respx_mock)
    assert main(["alerts", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == [
        "alrt_1",
        "firing",
        "ticket",
        "ReplicaDown",
    ]
    assert main(["alerts", "list", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["alrt_1", "alrt_2"]
    assert main(["alerts", "silence", "alrt_1", "--for", "2h", "--comment", "new driver"]) == 0
    assert gateway.silenced == {"duration_s": 7200, "comment": "new driver"}
    assert "silenced_until  2027-01-15 10:00" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["2", "31d", "h", "-1h"])
def test_silence_must_be_of_a_length(text: str, capsys: Out) -> None:
    with pytest.raises(SystemExit):
        main(["alerts", "silence", "alrt_1", f"--for={text}"])
    assert "write 30m, 2h or 1d" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "read"), [("rules", str), ("dashboard", json.loads)])
def test_shipped_files_are_printed(name: str, read: Callable[[str], Any], capsys: Out) -> None:
    assert main(["alerts", name]) == 0
    assert "lmaas_slo_bad_events_total" in str(read(capsys.readouterr().out)) or name == "dashboard"


class _Live(BaseHTTPRequestHandler):
    """A gateway that sends a view every tenth of a second, and knows nothing else."""

    def do_GET(self) -> None:
        if not self.path.startswith("/admin/v1/live"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"data: %b\n\n" % json.dumps(VIEW).encode())
                time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def live_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Live)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def lines_of(shown: str) -> list[str]:
    """Give the lines of what a terminal was sent, without its commands."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown))]


def test_terminal_that_changes_its_size_is_followed_and_left_as_it_was(live_url: str) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    environ = {**os.environ, "LMAAS_BASE_URL": live_url, "TERM": "xterm", "COLUMNS": "", "LINES": ""}
    environ = {name: value for name, value in environ.items() if value}
    command = [sys.executable, "-c", "import sys; from lmaas.cli import main; sys.exit(main(['top']))"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    try:
        shown = read_until(ours, "embed-0")
        assert "\x1b[?1049h" in shown, "a screen of its own"
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 80, 0, 0))
        # What was on its way comes first, however much that is on a busy machine.
        frames = (lines_of(read_until(ours, "Replicas")) for _ in range(50))
        narrow = next(lines for lines in frames if max(map(len, lines)) <= 80)
        assert any("BUSY" in line for line in narrow)
        process.send_signal(signal.SIGINT)
        assert "\x1b[?1049l" in read_until(ours, "\x1b[?1049l"), "what was there before is back"
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, words: str) -> str:
    """Read what a program writes to its terminal until these words have come."""
    deadline_s = time.monotonic() + 60
    text = b""
    while words not in text.decode("utf-8", "ignore"):
        assert time.monotonic() < deadline_s, text[-2000:]
        if select.select([terminal], [], [], 1)[0]:
            text += os.read(terminal, 1 << 16)
    return text.decode("utf-8", "ignore")
