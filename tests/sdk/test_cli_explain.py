"""`lmaas explain` and `lmaas calls`: what they ask, and what people read."""

from __future__ import annotations

import builtins
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from lmaas.cli import main
from sdk.test_admin import CALL, EXPLANATION
from sdk.test_cli_admin import Gateway, page

if TYPE_CHECKING:
    import respx

SHOWN = """req_1: ok after 1.50 s, 80 % of it decode.

m at 1970-01-01 00:00 UTC, stream, 7+3 tokens
STEP      AT        TOOK    BY       WHAT AND WHY
received  0.0 ms    -       gateway  POST /v1/chat/completions.
decode    250.0 ms  1.25 s  engine   3 tokens.
bill      -         -       gateway  It cost $0.000015000.
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch, respx_mock: respx.MockRouter) -> Gateway:
    monkeypatch.setenv("LMAAS_BASE_URL", "http://lmaas.test")
    monkeypatch.setenv("LMAAS_ADMIN_KEY", "the-admin-key")
    answers: dict[str, dict[str, Any]] = {"GET /calls/req_1": EXPLANATION, "GET /calls": page(CALL)}
    return Gateway(respx_mock, answers)


def test_explanation_is_a_line_a_step_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "req_1"]) == 0
    assert capsys.readouterr().out == SHOWN
    assert main(["explain", "req_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == EXPLANATION


def test_explanation_from_the_ledger_says_that_there_is_less(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway._answers["GET /calls/req_1"] = {**EXPLANATION, "known_from": "ledger"}
    assert main(["explain", "req_1", "--organization", "org_1"]) == 0
    assert "this is what the ledger has" in capsys.readouterr().out
    assert gateway.asked[-1][1] == {"organization": "org_1"}


@pytest.mark.parametrize("has_rich", [True, False])
def test_terminal_gets_a_table_with_or_without_what_draws_it(
    monkeypatch: pytest.MonkeyPatch, *, has_rich: bool
) -> None:
    import_module = builtins.__import__

    def without_rich(name: str, *more: Any, **fields: Any) -> Any:
        if name.startswith("rich") and not has_rich:
            raise ImportError(name)
        return import_module(name, *more, **fields)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["explain", "req_1"]) == 0
    said = terminal.getvalue()
    assert ("\u2503" in said) == has_rich
    assert "decode" in said
    assert "It cost $0.000015000." in said


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ([], {"limit": "100"}),
        (["--slow", "2s", "--failed"], {"limit": "100", "slow_over_s": "2.0", "failed": "true"}),
        (["--slow", "500ms", "--limit", "5"], {"limit": "6", "slow_over_s": "0.5"}),
        (["--slow", "1.5m", "--model", "m"], {"limit": "100", "slow_over_s": "90.0", "model": "m"}),
        (
            ["--project", "proj_1", "--since", "1970-01-02"],
            {"limit": "100", "project": "proj_1", "since": "86400"},
        ),
    ],
)
def test_calls_are_asked_for_by_what_they_are(
    gateway: Gateway, arguments: list[str], query: dict[str, str]
) -> None:
    assert main(["calls", *arguments]) == 0
    assert gateway.asked == [("GET /calls", query, None)]


def test_time_that_is_none_is_refused_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["calls", "--slow", "soon"])
    assert "write 2s, 500ms or 1m" in capsys.readouterr().err
