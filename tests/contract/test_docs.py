"""Every setting, metric and error code stands in docs/, and every page in its index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from lmaas_gateway import docs
from lmaas_gateway.errors import GatewayError
from lmaas_gateway.metrics.names import ALL, Spec
from lmaas_gateway.settings import ModelSettings, ReplicaSettings, Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "tests" / "README.md"]
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def text_of(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def codes(cls: type[GatewayError] = GatewayError) -> set[str]:
    own = {cls.code} if cls.code else set()
    return own.union(*(codes(child) for child in cls.__subclasses__()))


def setting_names(model: type[BaseModel]) -> set[str]:
    names = set(model.model_fields)
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= setting_names(field.annotation)
    return names


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_metric_is_documented_with_its_labels(spec: Spec) -> None:
    row = next((line for line in text_of("metrics.md").splitlines() if spec.sample_name in line), "")
    assert row, f"docs/metrics.md lacks {spec.sample_name}"
    for label in spec.labels:
        assert label in row


@pytest.mark.parametrize(
    "code", sorted(codes() | {"invalid_request", "context_length_exceeded", "replica_error", "replica_busy"})
)
def test_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in text_of("errors.md")


@pytest.mark.parametrize(
    "name", sorted(setting_names(Settings) | setting_names(ModelSettings) | setting_names(ReplicaSettings))
)
def test_setting_is_documented(name: str) -> None:
    assert f"{name}`" in text_of("configuration.md")


def test_settings_of_the_page_on_queueing_work() -> None:
    settings = yaml.safe_load(text_of("queueing.md").split("```yaml\n")[1].split("```")[0])
    assert [key.name for key in Settings.model_validate(settings).keys] == ["web", "batch"]


def test_every_refusal_of_the_queue_stands_on_its_page() -> None:
    queueing = {code for code in codes() if code.startswith("queue_")} | {"call_shed", "deadline_exceeded"}
    assert all(f"`{code}`" in text_of("queueing.md") for code in queueing)


def test_index_names_every_page_and_every_decision() -> None:
    named = {DOCS / link for link in _LINK.findall(text_of("README.md"))}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page: Path) -> None:
    links = _LINK.findall(re.sub(r"`[^`\n]*`", "", page.read_text("utf-8")))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_decisions_have_their_number_and_one_form() -> None:
    for page in (DOCS / "decisions").iterdir():
        title, *headings = [line for line in page.read_text("utf-8").splitlines() if line.startswith("#")]
        assert title.startswith(f"# {page.name[:4]}: ")
        assert {"## Context", "## Decision", "## Consequences"} <= set(headings), page.name


def test_generated_pages_are_up_to_date() -> None:
    assert docs.main(["--check", str(DOCS)]) == 0


def test_stale_page_fails_the_check_and_is_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "errors.md").write_text("old", "utf-8")
    assert docs.main(["--check", str(tmp_path)]) == 1
    assert "errors.md" in capsys.readouterr().err
    assert (tmp_path / "errors.md").read_text("utf-8") == "old"
    assert docs.main([str(tmp_path)]) == 0
    assert (tmp_path / "errors.md").read_text("utf-8") == text_of("errors.md")
    assert docs.main(["--check", str(tmp_path)]) == 0
