"""The files that are shipped for Prometheus and Grafana: valid, tested, and only about what is exported."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml

from lmaas_gateway.metrics import names
from lmaas_gateway.watching import dashboard
from support import promtool

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data" / "monitoring"
RULES = dashboard.PATH.with_name("prometheus-rules.yaml")
DASHBOARD: dict[str, Any] = json.loads(dashboard.PATH.read_text("utf-8"))

# Prometheus adds these to whatever it scrapes.
ADDED = {"job", "instance"}
NAME = re.compile(r"(?<![\w$\"{])(?:lmaas[a-z0-9_:]*|up)(?![\w(])")
STRINGS = re.compile(r'"[^"]*"')


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from group["rules"]


def panel_expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def exported() -> dict[str, set[str]]:
    """The labels of every sample that a gateway can export, by its name."""
    found = {"up": set(ADDED)}
    for spec in names.ALL:
        labels = {*spec.labels, *ADDED}
        if spec.kind == "histogram":
            found |= {
                spec.name + "_bucket": labels | {"le"},
                spec.name + "_sum": labels,
                spec.name + "_count": labels,
            }
        else:
            found[spec.sample_name] = labels
    for rule in rules():
        if "record" in rule:
            found[rule["record"]] = {"model", "slo"}
    return found


EXPRESSIONS = [*(str(rule["expr"]) for rule in rules()), *panel_expressions()]


def unknown(expression: str) -> list[str]:
    """Name the metrics of an expression that are not exported, and labels that none of its metrics has."""
    known = exported()
    bare = STRINGS.sub('""', expression)
    used = NAME.findall(bare)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
    for grouping in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare):
        labels |= {label.strip() for label in grouping.split(",")}
    allowed = set().union(*(known.get(name, set()) for name in used))
    return [*(name for name in used if name not in known), *sorted(labels - allowed)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_uses_only_names_and_labels_that_are_exported(expression: str) -> None:
    assert NAME.search(expression), "it is about nothing of ours"
    assert unknown(expression) == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum(rate(lmaas_request_total[5m]))", ["lmaas_request_total"]),
        ('lmaas_requests_total{user="x"}', ["user"]),
        ("sum by (model, key) (lmaas_requests_total)", ["key"]),
        ("lmaas_request_duration_seconds", ["lmaas_request_duration_seconds"]),
    ],
)
def test_what_is_not_exported_would_be_found(expression: str, found: list[str]) -> None:
    assert unknown(expression) == found


@pytest.fixture(scope="module")
def checker() -> Path:
    try:
        return promtool.find()
    except promtool.MissingPromtoolError as error:
        pytest.fail(str(error))


def run(checker: Path, *arguments: str | Path, folder: Path) -> None:
    done = subprocess.run([checker, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(checker: Path) -> None:
    run(checker, "check", "rules", RULES, folder=RULES.parent)


def test_rules_tell_what_they_should_and_nothing_else(checker: Path, tmp_path: Path) -> None:
    (tmp_path / RULES.name).write_bytes(RULES.read_bytes())
    for file in DATA.glob("*-test.yaml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        run(checker, "test", "rules", file.name, folder=tmp_path)


def test_every_alerting_rule_has_a_unit_test_a_severity_and_a_summary() -> None:
    tested = {
        test["alertname"]
        for file in DATA.glob("*-test.yaml")
        for case in yaml.safe_load(file.read_text("utf-8"))["tests"]
        for test in case["alert_rule_test"]
        if test.get("exp_alerts")
    }
    alerting = [rule for rule in rules() if "alert" in rule]
    assert {rule["alert"] for rule in alerting} == tested
    assert all(rule["labels"]["severity"] in {"page", "ticket"} for rule in alerting)
    assert all(rule["annotations"]["summary"] for rule in alerting)


def test_prometheus_understands_every_expression_of_the_dashboard(checker: Path, tmp_path: Path) -> None:
    recorded = [
        {
            "record": f"panel:{number}",
            "expr": expression.replace("$__rate_interval", "5m").replace("$model", ".*"),
        }
        for number, expression in enumerate(panel_expressions())
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}), "utf-8")
    run(checker, "check", "rules", file, folder=tmp_path)


def test_dashboard_is_one_by_grafanas_own_schema() -> None:
    schema = json.loads((DATA / "grafana-dashboard.schema.json").read_text("utf-8"))
    errors = [
        f"{error.instance_path}: {error.message}"
        for error in jsonschema_rs.validator_for(schema).iter_errors(DASHBOARD)
    ]
    assert errors == []


def test_dashboard_is_as_it_was_written_and_its_panels_lie_beside_each_other() -> None:
    assert dashboard.PATH.read_text("utf-8") == dashboard.text(), "run `make docs`"
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not places & cells, panel["title"]
        places |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_machine_without_promtool_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(promtool.VARIABLE, raising=False)
    with pytest.raises(promtool.MissingPromtoolError, match="apt-get install prometheus"):
        promtool.find()
    monkeypatch.setenv(promtool.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(promtool.MissingPromtoolError, match="does not run"):
        promtool.find()
