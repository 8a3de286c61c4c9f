"""The commands of administrators: what they send, and how they show what comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lmaas.cli import main
from sdk.test_admin import (
    CALL,
    CONTENT,
    ENTRY,
    ERASED,
    ISSUED,
    KEY,
    LIMIT,
    MEMBER,
    ORGANIZATION,
    PROJECT,
    TOTAL,
    VERDICT,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import respx

ROOT = "http://lmaas.test/admin/v1"
VERBS = [
    *(("keys", verb) for verb in ("create", "list", "show", "change", "rotate", "revoke")),
    *(("projects", verb) for verb in ("create", "list", "show", "change", "archive")),
    *(("members", verb) for verb in ("create", "list", "show", "change", "disable")),
    *(("organizations", verb) for verb in ("create", "list", "show", "rename", "archive", "erase")),
    *(("limits", verb) for verb in ("set", "list", "remove")),
    *(("usage", verb) for verb in ("show", "export", "prices")),
    *(("audit", verb) for verb in ("list", "export", "verify")),
    *(("contents", verb) for verb in ("list", "show")),
    *(("alerts", verb) for verb in ("list", "silence")),
]


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAAS_BASE_URL", "http://lmaas.test")
    monkeypatch.setenv("LMAAS_ADMIN_KEY", "the-admin-key")


class Gateway:
    """Answers any request of the admin API from a list, and keeps what was asked."""

    def __init__(self, router: respx.MockRouter, answers: dict[str, dict[str, Any]]) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self._answers = answers
        router.route(url__startswith=ROOT).mock(side_effect=self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = f"{request.method} {request.url.path.removeprefix('/admin/v1')}"
        body = json.loads(request.content) if request.content else None
        self.asked.append((path, dict(request.url.params), body))
        return httpx.Response(200, json=self._answers[path])


def page(*items: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": False}


@pytest.mark.parametrize("command", VERBS, ids=" ".join)
def test_each_command_explains_itself_with_examples(
    command: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"  lmaas {' '.join(command)}" in said.partition("examples:\n")[2]
    assert "LMAAS_ADMIN_KEY" in said


SENT: list[tuple[str, str, dict[str, Any], Any]] = [
    (
        "keys create laptop --project proj_1 --models chat-*,embed --admin viewer --expires-in-days 30",
        "POST /keys",
        ISSUED,
        {
            "project": "proj_1",
            "name": "laptop",
            "scopes": {"models": ["chat-*", "embed"], "admin": "viewer"},
            "expires_in_days": 30,
        },
    ),
    ("keys show k1", "GET /keys/k1", KEY, None),
    ("keys change k1 --expires 2026-12-31", "PATCH /keys/k1", KEY, {"expires_at": 1798675200}),
    ("keys rotate k1 --overlap 2h", "POST /keys/k1/rotate", ISSUED, {"overlap_s": 7200}),
    ("keys rotate k1", "POST /keys/k1/rotate", ISSUED, {}),
    ("keys revoke k1", "DELETE /keys/k1", KEY, None),
    (
        "projects create web --stores-content",
        "POST /projects",
        PROJECT,
        {"name": "web", "stores_content": True},
    ),
    ("projects create web", "POST /projects", PROJECT, {"name": "web"}),
    ("projects show proj_1", "GET /projects/proj_1", PROJECT, None),
    ("projects change proj_1 --name b", "PATCH /projects/proj_1", PROJECT, {"name": "b"}),
    ("projects archive proj_1", "DELETE /projects/proj_1", PROJECT, None),
    (
        "members create nightly --kind service --project proj_1",
        "POST /members",
        MEMBER,
        {"name": "nightly", "kind": "service", "project": "proj_1"},
    ),
    ("members show user_1", "GET /members/user_1", MEMBER, None),
    ("members change user_1 --role admin", "PATCH /members/user_1", MEMBER, {"role": "admin"}),
    ("members change user_1 --no-disabled", "PATCH /members/user_1", MEMBER, {"disabled": False}),
    ("members disable user_1", "DELETE /members/user_1", MEMBER, None),
    ("organizations create acme", "POST /organizations", ORGANIZATION, {"name": "acme"}),
    ("organizations show org_1", "GET /organizations/org_1", ORGANIZATION, None),
    ("organizations rename org_1 b", "PATCH /organizations/org_1", ORGANIZATION, {"name": "b"}),
    ("organizations archive org_1", "DELETE /organizations/org_1", ORGANIZATION, None),
    (
        "organizations erase org_1 --confirm acme",
        "POST /organizations/org_1/erase",
        ERASED,
        {"confirm": "acme"},
    ),
    (
        "limits set money/month 25.50 --project proj_1",
        "PUT /limits",
        LIMIT,
        {
            "subject_kind": "project",
            "subject": "proj_1",
            "metric": "money",
            "period": "month",
            "amount": 25_500_000_000,
        },
    ),
    (
        "limits set calls_in_flight 8 --key k1 --model q*",
        "PUT /limits",
        LIMIT,
        {
            "subject_kind": "key",
            "subject": "k1",
            "metric": "calls_in_flight",
            "period": "none",
            "amount": 8,
            "model": "q*",
        },
    ),
    (
        "limits set requests/day 8 --of-model m",
        "PUT /limits",
        LIMIT,
        {"subject_kind": "model", "subject": "m", "metric": "requests", "period": "day", "amount": 8},
    ),
    (
        "limits set tokens/minute 9",
        "PUT /limits",
        LIMIT,
        {"subject_kind": "organization", "metric": "tokens", "period": "minute", "amount": 9},
    ),
    ("limits remove l1", "DELETE /limits/l1", {"id": "l1", "object": "limit", "deleted": True}, None),
    ("contents show c1", "GET /contents/c1", CONTENT, None),
]


@pytest.mark.parametrize(("command", "wire", "answer", "body"), SENT, ids=lambda part: str(part)[:30])
def test_command_sends_what_it_says_and_shows_the_answer(
    command: str,
    wire: str,
    answer: dict[str, Any],
    body: Any,
    respx_mock: respx.MockRouter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gateway = Gateway(respx_mock, {wire: answer})
    assert main([*command.split(), "--organization", "org_1", "--json"]) == 0
    (asked,) = gateway.asked
    assert (asked[0], asked[2]) == (wire, body)
    assert command.startswith("organizations") or asked[1]["organization"] == "org_1"
    assert json.loads(capsys.readouterr().out) == answer


def test_new_secret_is_all_that_standard_output_gets(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    Gateway(respx_mock, {"POST /keys": ISSUED})
    assert main(["keys", "create", "laptop", "--project", "proj_1"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{ISSUED['secret']}\n"
    assert "k1 (laptop) of proj_1" in said.err
    assert ISSUED["secret"] not in said.err


def test_project_may_be_named(respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]) -> None:
    archived = {**PROJECT, "id": "proj_0", "archived_at": 5}
    gateway = Gateway(respx_mock, {"GET /projects": page(archived, PROJECT), "GET /keys": page(KEY)})
    assert main(["keys", "list", "--project", "web"]) == 0
    assert gateway.asked[1][1]["project"] == "proj_1"
    assert main(["keys", "list", "--project", "nothing"]) == 2
    assert "no project 'nothing'; `lmaas projects list`" in capsys.readouterr().err


def test_change_of_one_scope_keeps_the_others(respx_mock: respx.MockRouter) -> None:
    gateway = Gateway(respx_mock, {"GET /keys/k1": KEY, "PATCH /keys/k1": KEY})
    assert main(["keys", "change", "k1", "--routes", "/v1/embeddings"]) == 0
    assert gateway.asked[1][2] == {"scopes": {"models": ["chat-*"], "routes": ["/v1/embeddings"]}}
    assert main(["keys", "change", "k1", "--models", ""]) == 0
    assert gateway.asked[3][2] == {"scopes": {"models": []}}


TABLES = [
    (
        ["keys", "list"],
        "/keys",
        {**KEY, "expires_at": 86400},
        "ID  NAME    PROJECT  STATE   ENDS WITH  MODELS  EXPIRES           LAST USED\n"
        "k1  laptop  proj_1   active  wxyz       chat-*  1970-01-02 00:00  -\n",
    ),
    (
        ["projects", "list"],
        "/projects",
        PROJECT,
        "ID      NAME  STORES CONTENT  CREATED           ARCHIVED\n"
        "proj_1  web   no              1970-01-01 00:00  -\n",
    ),
    (
        ["members", "list"],
        "/members",
        MEMBER,
        "ID      KIND    NAME  ROLE    PROJECT  CREATED           DISABLED\n"
        "user_1  person  a     viewer  all      1970-01-01 00:00  -\n",
    ),
    (
        ["organizations", "list"],
        "/organizations",
        ORGANIZATION,
        "ID     NAME  CREATED           ARCHIVED\norg_1  acme  1970-01-01 00:00  -\n",
    ),
    (
        ["limits", "list"],
        "/limits",
        LIMIT,
        "ID  SUBJECT  OF  MODELS  LIMIT          AMOUNT\nl1  key      k1  *       tokens/minute  1,000\n",
    ),
    (
        ["usage", "show", "--by", "project"],
        "/usage",
        TOTAL,
        "PROJECT  CALLS  PROMPT  CACHED  COMPLETION  REASONING  COST\n"
        "proj_1   2      3       0       4           0          $0.000000005\n",
    ),
    (
        ["usage", "prices"],
        "/prices",
        {"id": "m", "input_per_million_nanos": 150_000_000, "gpu_second_nanos": 1_000_000},
        "MODEL  INPUT/1M  CACHED/1M  OUTPUT/1M  GPU HOUR  GPUS\n"
        "m      $0.15     $0.00      $0.00      $3.60     1\n",
    ),
    (
        ["audit", "list"],
        "/audit",
        {**ENTRY, "detail": {"name": "laptop"}},
        "ID  AT                ACTOR  ACTION       OBJECT  DETAIL\n"
        '7   1970-01-01 00:00  k1     keys.create  k2      {"name": "laptop"}\n',
    ),
    (
        ["contents", "list", "--project", "proj_1"],
        "/contents",
        CONTENT,
        "ID  PROJECT  AT\nc1  proj_1   1970-01-01 00:00\n",
    ),
    (
        ["calls", "--slow", "1.2s", "--failed"],
        "/calls",
        {**CALL, "status": 502, "outcome": "error", "code": "replica_error"},
        "ID     AT                MODEL  OUTCOME  STATUS  CODE           "
        "TOOK    QUEUED  FIRST BYTE  TOKENS  COST\n"
        "req_1  1970-01-01 00:00  m      error    502     replica_error  1.50 s  0.0 ms  250.0 ms    7+3     "
        "$0.000015\n",
    ),
]


@pytest.mark.parametrize(("command", "path", "item", "shown"), TABLES, ids=lambda part: str(part)[:20])
def test_listing_is_a_table_or_json(
    command: list[str],
    path: str,
    item: dict[str, Any],
    shown: str,
    respx_mock: respx.MockRouter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Gateway(respx_mock, {f"GET {path}": page(item)})
    assert main(command) == 0
    assert capsys.readouterr().out == shown
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [item]


def test_listing_that_is_longer_says_so(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = Gateway(respx_mock, {"GET /keys": page(*({**KEY, "id": f"k{n}"} for n in range(3)))})
    assert main(["keys", "list", "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 3
    assert "Only the first 2 are shown" in said.err
    assert gateway.asked[0][1]["limit"] == "3"


def test_one_object_is_shown_a_line_a_field(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    Gateway(respx_mock, {"GET /projects/proj_1": {**PROJECT, "archived_at": None, "stores_content": True}})
    assert main(["projects", "show", "proj_1"]) == 0
    assert capsys.readouterr().out == (
        "id              proj_1\norganization    org_1\nname            web\n"
        "stores_content  true\ncreated_at      1970-01-01 00:00\narchived_at     -\n"
    )


def test_usage_shows_all_groups_part_by_part(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("after"))
        number = len(asked)
        totals = page({**TOTAL, "model": f"m{number}"})
        return httpx.Response(200, json={**totals, "has_more": number < 3, "last_id": f"place{number}"})

    respx_mock.get(url__startswith=f"{ROOT}/usage").mock(side_effect=answer)
    assert main(["usage", "show", "--by", "model"]) == 0
    assert asked == [None, "place1", "place2"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-3:]] == ["m1", "m2", "m3"]


def test_usage_is_this_months_unless_told(respx_mock: respx.MockRouter) -> None:
    gateway = Gateway(respx_mock, {"GET /usage": page(TOTAL)})
    assert main(["usage", "show"]) == 0
    start = datetime.fromtimestamp(int(gateway.asked[0][1]["start"]), UTC)
    assert (start.day, start.hour, start.minute) == (1, 0, 0)
    assert gateway.asked[0][1]["group_by"] == "project,model"
    command = "usage show --since 2026-11-01 --until 2026-11-02T06:00 --by day --project proj_1 --model m"
    assert main(command.split()) == 0
    asked = gateway.asked[1][1]
    assert (asked["start"], asked["end"], asked["project"], asked["model"]) == (
        "1793491200",
        "1793599200",
        "proj_1",
        "m",
    )


def test_export_goes_to_a_file_or_to_standard_output(
    respx_mock: respx.MockRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    respx_mock.get(url__startswith=f"{ROOT}/usage/export").mock(httpx.Response(200, content=b"id\n"))
    assert main(["usage", "export"]) == 0
    assert capsys.readouterr().out == "id\n"
    path = tmp_path / "ledger.csv"
    assert main(["usage", "export", "--output", str(path)]) == 0
    assert path.read_bytes() == b"id\n"
    assert main(["usage", "export", "--output", str(tmp_path / "no" / "ledger.csv")]) == 2
    assert main(["usage", "export", "--format", "parquet"]) == 2
    assert "give --output FILE" in capsys.readouterr().err


def test_audit_trail_is_exported_as_json_lines(
    respx_mock: respx.MockRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Gateway(respx_mock, {"GET /audit": page(ENTRY, {**ENTRY, "id": "8"})})
    assert main(["audit", "export"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["7", "8"]
    path = tmp_path / "audit.jsonl"
    assert main(["audit", "export", "--output", str(path)]) == 0
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["7", "8"]
    assert main(["audit", "export", "--output", str(tmp_path / "no" / "a")]) == 2


@pytest.mark.parametrize(
    ("verdict", "code", "shown"),
    [
        (VERDICT, 0, "intact: 9 entries, 1 checkpoints\n"),
        ({**VERDICT, "is_intact": False, "problem": "row 4 was edited"}, 1, "NOT intact: row 4 was edited\n"),
    ],
)
def test_verdict_on_the_trail_is_the_exit_code(
    verdict: dict[str, Any],
    code: int,
    shown: str,
    respx_mock: respx.MockRouter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Gateway(respx_mock, {"GET /audit/verify": verdict})
    assert main(["audit", "verify"]) == code
    assert capsys.readouterr().out == shown
    assert main(["audit", "verify", "--json"]) == code


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["keys", "change", "k1"], "nothing to change"),
        (["projects", "change", "proj_1"], "nothing to change"),
        (["members", "change", "user_1"], "nothing to change"),
        (["limits", "set", "money/day", "much"], "'much' is no amount; give a number of dollars"),
        (["limits", "set", "tokens/day", "1.5"], "'1.5' is no amount; give a number without a point"),
        (["limits", "set", "money/day", "NaN"], "no amount"),
    ],
)
def test_what_cannot_be_reaches_no_server(
    command: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["keys", "rotate", "k1", "--overlap", "soon"],
        ["keys", "change", "k1", "--expires", "tomorrow"],
        ["keys", "list", "--limit", "0"],
        ["usage", "show", "--by", "prompt"],
        ["limits", "set", "tokens/week", "1"],
        ["keys", "create", "laptop"],
    ],
    ids=" ".join,
)
def test_option_that_is_none_is_a_usage_error(
    command: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "usage: lmaas" in capsys.readouterr().err


def test_without_a_key_it_says_where_one_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LMAAS_ADMIN_KEY")
    assert main(["keys", "list"]) == 2
    assert "set LMAAS_ADMIN_KEY" in capsys.readouterr().err


def test_refusal_is_one_line_and_exit_code_1(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"error": {"message": "Your role does not allow that.", "code": "permission_denied"}}
    respx_mock.get(url__startswith=ROOT).mock(httpx.Response(403, json=error))
    assert main(["keys", "list", "--admin-key", "another"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "Your role does not allow that." in said.err
