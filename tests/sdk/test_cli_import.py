"""`lmaas import-litellm`: the file that it writes, and the keys that it makes."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lmaas.cli import main
from lmaas_gateway.settings import load_settings

if TYPE_CHECKING:
    import respx

DATA = Path(__file__).parents[1] / "gateway" / "data"
CONFIG, KEYS = str(DATA / "litellm_config.yaml"), str(DATA / "litellm_keys.json")
ROOT = "http://lmaas.test/admin/v1"


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAAS_BASE_URL", "http://lmaas.test")
    monkeypatch.setenv("LMAAS_ADMIN_KEY", "the-admin-key")
    monkeypatch.setenv("VLLM_KEY", "k-of-the-first-replica")


class Gateway:
    """Makes what it is asked for, and keeps what that was."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.asked: list[tuple[str, Any]] = []
        router.route(url__startswith=ROOT).mock(side_effect=self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        path = request.url.path.removeprefix("/admin/v1")
        self.asked.append((f"{request.method} {path}", body))
        number = len(self.asked)
        if request.method == "GET":
            return httpx.Response(200, json={"data": [project("proj_1", "billing")]})
        if path == "/projects":
            return httpx.Response(201, json=project(f"proj_{number}", body["name"]))
        return httpx.Response(201, json={**body, **(limit() if path == "/limits" else key(number))})


def project(id_: str, name: str) -> dict[str, Any]:
    return {"id": id_, "name": name, "organization": "org_1", "created_at": 1}


def limit() -> dict[str, Any]:
    return {"id": "l1", "organization": "org_1", "model": "*"}


def key(number: int) -> dict[str, Any]:
    return {
        "id": f"k{number}",
        "organization": "org_1",
        "last4": "wxyz",
        "state": "active",
        "created_at": 1,
        "secret": f"secret-{number}",
    }


def test_configuration_is_written_for_its_owner_alone_and_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lmaas.yaml"
    for _ in range(2):
        assert main(["import-litellm", CONFIG, "--output", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(load_settings(path, environ={}).models) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "not carried over: line 46: model_list.5.litellm_params: 'anthropic' has an API" in said.err
    assert "to keep its rate, run: lmaas limits set tokens/minute 200000 --of-model llama-3-8b" in said.err
    assert "k-of-the-first-replica" not in said.err


def test_keys_are_made_with_their_limits_and_the_new_secrets_printed(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = Gateway(respx_mock)
    assert main(["import-litellm", CONFIG, "--keys", KEYS, "--organization", "org_1"]) == 0
    asked = [(path, body) for path, body in gateway.asked if path in {"POST /keys", "POST /projects"}]
    assert asked[0][1]["project"] == "proj_1"
    assert asked[0][1]["scopes"] == {"models": ["llama-3-8b", "minilm"], "routes": []}
    assert asked[1] == ("POST /projects", {"name": "litellm"})
    assert asked[2][1]["scopes"]["routes"] == ["/v1/embeddings"]
    limits = [body for path, body in gateway.asked if path == "PUT /limits"]
    assert [(one["subject_kind"], one["metric"], one["amount"]) for one in limits] == [
        ("model", "requests", 900),
        ("model", "tokens", 200_000),
        ("key", "requests", 100),
        ("key", "tokens", 50_000),
        ("key", "calls_in_flight", 8),
        ("key", "money", 25_500_000_000),
    ]
    said = capsys.readouterr()
    header, *rows = said.out.splitlines()
    assert header.split("  ")[0] == "OLD KEY"
    assert [row.split("  ")[0] for row in rows] == ["sk-...wXyZ", "sk-...1111"]
    assert all("secret-" in row for row in rows)
    assert "not carried over: old: has expired" in said.err
    assert "not carried over: billing-service: metadata: keys have no notes" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([CONFIG], "nothing to do"),
        (["/nowhere/config.yaml", "--output", "x"], "cannot be read"),
        ([KEYS, "--output", "x"], "no `model_list`"),
        ([CONFIG, "--output", "/nowhere/lmaas.yaml"], "cannot be written"),
        ([CONFIG, "--keys", CONFIG], "not JSON"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-litellm", *arguments]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_file_that_is_no_text_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c").write_bytes(b"\xff\xfe")
    assert main(["import-litellm", str(tmp_path / "c"), "--output", "x"]) == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_keys_need_an_admin_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("LMAAS_ADMIN_KEY")
    assert main(["import-litellm", CONFIG, "--keys", KEYS]) == 2
    assert "set LMAAS_ADMIN_KEY" in capsys.readouterr().err
