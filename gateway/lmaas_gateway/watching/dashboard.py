"""The Grafana dashboard that is shipped: written from one table of panels, so that it stays readable.

python -m lmaas_gateway.watching.dashboard
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# Grafana migrates older schemas when it loads them; this one is known since Grafana 10.
_SCHEMA_VERSION = 39
_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_MODELS = '{model=~"$model"}'


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        unit: As Grafana calls it.
        queries: PromQL, and how its series are called.
        width: Of 24 columns.
        kind: Grafana's type of panel.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    width: int = 8
    kind: str = "timeseries"
    text: str = ""


def _rate(metric: str, by: str = "model", labels: str = _MODELS) -> str:
    return f"sum by ({by}) (rate({metric}{labels}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = "model", labels: str = _MODELS) -> str:
    return f"histogram_quantile({share}, {_rate(metric + '_bucket', by + ', le', labels)})"


def _latency(title: str, metric: str, text: str) -> Panel:
    queries = tuple((_quantile(share, metric), f"{{{{model}}}} p{share * 100:g}") for share in (0.5, 0.95))
    return Panel(title, "s", queries, text=text)


ROWS: tuple[tuple[str, int, tuple[Panel, ...]], ...] = (
    (
        "Now",
        4,
        (
            Panel("Calls a second", "reqps", ((f"sum({_rate('lmaas_requests_total')})", ""),), 4, "stat"),
            Panel(
                "Failed calls",
                "percentunit",
                (
                    (
                        '(sum(rate(lmaas_requests_total{model=~"$model", code=~"5.."}[$__rate_interval])) '
                        'or vector(0)) / sum(rate(lmaas_requests_total{model=~"$model"}[$__rate_interval]))',
                        "",
                    ),
                ),
                4,
                "stat",
            ),
            Panel(
                "Generated tokens a second",
                "short",
                ((f"sum({_rate('lmaas_completion_tokens_total')})", ""),),
                4,
                "stat",
            ),
            Panel(
                "In flight",
                "short",
                ((f"sum(max by (model, replica) (lmaas_requests_in_flight{_MODELS}))", ""),),
                4,
                "stat",
            ),
            Panel("Waiting", "short", ((f"sum(lmaas_queue_depth{_MODELS})", ""),), 4, "stat"),
            Panel(
                "Alerts that fire",
                "short",
                (('sum(lmaas_alerts{state="firing"}) or vector(0)', ""),),
                4,
                "stat",
            ),
        ),
    ),
    (
        "Objectives",
        8,
        (
            Panel(
                "Error budget left",
                "percentunit",
                ((f"min by (model, slo) (lmaas_slo_budget_remaining_ratio{_MODELS})", "{{model}} {{slo}}"),),
                text="Below 0 the objective is missed.",
            ),
            Panel(
                "Burn rate",
                "short",
                (
                    (
                        'max by (model, slo, window) (lmaas_slo_burn_rate{model=~"$model"})',
                        "{{model}} {{slo}} {{window}}",
                    ),
                ),
                text="Pages from 14.4 (1h) and 6 (6h) on, a ticket from 1 (3d) on, over 30 days.",
            ),
            Panel(
                "Alerts",
                "short",
                (
                    (
                        'sum by (alert, model, severity) (lmaas_alerts{state="firing"})',
                        "{{alert}} {{model}} {{severity}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Traffic",
        8,
        (
            Panel(
                "Calls by code",
                "reqps",
                ((_rate("lmaas_requests_total", "model, code"), "{{model}} {{code}}"),),
            ),
            Panel(
                "Tokens a second",
                "short",
                (
                    (_rate("lmaas_prompt_tokens_total"), "{{model}} prompt"),
                    (_rate("lmaas_cached_prompt_tokens_total"), "{{model}} cached"),
                    (_rate("lmaas_completion_tokens_total"), "{{model}} completion"),
                ),
            ),
            Panel(
                "Retries, fallbacks, calls turned away",
                "reqps",
                (
                    (_rate("lmaas_retries_total", "model, outcome"), "{{model}} retries {{outcome}}"),
                    (_rate("lmaas_fallbacks_total", "model, answered_by"), "{{model}} by {{answered_by}}"),
                    (_rate("lmaas_queue_rejections_total", "model, reason"), "{{model}} {{reason}}"),
                ),
            ),
        ),
    ),
    (
        "Latency",
        8,
        (
            _latency("Time to first token", "lmaas_time_to_first_token_seconds", "Of streams."),
            _latency(
                "Time between tokens", "lmaas_inter_token_latency_seconds", "Mean of each whole stream."
            ),
            _latency("Duration", "lmaas_request_duration_seconds", "From arrival to the end of the reply."),
            _latency("Wait in the queue", "lmaas_queue_wait_seconds", "Of calls that waited."),
        ),
    ),
    (
        "Replicas",
        8,
        (
            Panel(
                "State",
                "short",
                (
                    (
                        'max by (model, replica, state) (lmaas_replica_state{model=~"$model"} == 1)',
                        "{{replica}} {{state}}",
                    ),
                ),
            ),
            Panel(
                "Requests in engines",
                "short",
                (
                    (
                        f"max by (model, replica) (lmaas_replica_requests_running{_MODELS})",
                        "{{replica}} running",
                    ),
                    (
                        f"max by (model, replica) (lmaas_replica_requests_waiting{_MODELS})",
                        "{{replica}} waiting",
                    ),
                ),
            ),
            Panel(
                "KV cache",
                "percentunit",
                ((f"max by (model, replica) (lmaas_replica_kv_cache_usage_ratio{_MODELS})", "{{replica}}"),),
            ),
            Panel(
                "Utilisation",
                "percentunit",
                ((_rate("lmaas_replica_busy_seconds_total", "model, replica"), "{{replica}}"),),
            ),
            Panel(
                "Prefix cache hits",
                "percentunit",
                (
                    (
                        _rate("lmaas_replica_prefix_cache_hits_total", "model, replica")
                        + " / "
                        + _rate("lmaas_replica_prefix_cache_queries_total", "model, replica"),
                        "{{replica}}",
                    ),
                ),
                text="Of the prompt tokens that the engine looked up.",
            ),
            Panel(
                "CPU and preemptions",
                "short",
                (
                    (_rate("lmaas_replica_cpu_seconds_total", "model, replica"), "{{replica}} CPUs"),
                    (
                        _rate("lmaas_replica_preemptions_total", "model, replica"),
                        "{{replica}} preemptions a second",
                    ),
                ),
            ),
            Panel(
                "Memory",
                "bytes",
                (
                    (f"max by (model, replica) (lmaas_replica_memory_bytes{_MODELS})", "{{replica}}"),
                    (
                        f"max by (model, replica, gpu) (lmaas_replica_gpu_memory_bytes{_MODELS})",
                        "{{replica}} GPU {{gpu}}",
                    ),
                ),
            ),
            Panel(
                "GPUs",
                "percentunit",
                (
                    (
                        f"max by (model, replica, gpu) (lmaas_replica_gpu_utilization_ratio{_MODELS})",
                        "{{replica}} GPU {{gpu}}",
                    ),
                ),
            ),
            Panel(
                "GPU power",
                "watt",
                (
                    (
                        f"max by (model, replica, gpu) (lmaas_replica_gpu_power_watts{_MODELS})",
                        "{{replica}} GPU {{gpu}}",
                    ),
                ),
            ),
            Panel(
                "Failures, silence and restarts",
                "short",
                (
                    (f"max by (replica) (lmaas_replica_silent{_MODELS}) == 1", "{{replica}} is silent"),
                    (_rate("lmaas_replica_failures_total", "replica, reason"), "{{replica}} {{reason}}"),
                    (
                        f"sum by (replica) (increase(lmaas_engine_restarts_total{_MODELS}[15m]))",
                        "{{replica}} restarted",
                    ),
                ),
            ),
        ),
    ),
    (
        "Quality",
        8,
        (
            Panel(
                "Flaws of replies",
                "percentunit",
                (
                    (
                        f"sum by (model, flag) (increase(lmaas_quality_flagged_total{_MODELS}[1h])) / "
                        f"sum by (model, flag) (increase(lmaas_quality_checked_total{_MODELS}[1h]))",
                        "{{model}} {{flag}}",
                    ),
                ),
                text="Of the replies that were looked at in the hour before.",
            ),
            Panel(
                "Feedback in an hour",
                "short",
                (
                    (
                        f"sum by (model, thumbs) (increase(lmaas_feedback_total{_MODELS}[1h]))",
                        "{{model}} {{thumbs}}",
                    ),
                ),
            ),
            Panel(
                "Canary prompts answered as expected",
                "short",
                ((f"min by (canary, model) (lmaas_canary_ok{_MODELS})", "{{model}} {{canary}}"),),
            ),
        ),
    ),
    (
        "Gateway",
        8,
        (
            Panel(
                "Event loop lag",
                "s",
                ((_quantile(0.99, "lmaas_event_loop_lag_seconds", "instance", ""), "{{instance}} p99"),),
            ),
            Panel(
                "CPU and memory",
                "short",
                (
                    (
                        "sum by (instance) (rate(lmaas_gateway_cpu_seconds_total[$__rate_interval]))",
                        "{{instance}} CPUs",
                    ),
                    ("sum by (instance) (lmaas_gateway_memory_bytes) / 2^30", "{{instance}} GiB"),
                ),
            ),
            Panel(
                "Stores",
                "s",
                (
                    (
                        _quantile(0.95, "lmaas_store_duration_seconds", "store, operation", ""),
                        "{{store}} {{operation}} p95",
                    ),
                ),
            ),
            Panel(
                "Records of calls that wait for the ledger",
                "bytes",
                (("sum by (instance, where) (lmaas_books_waiting_bytes)", "{{instance}} {{where}}"),),
            ),
            Panel(
                "Attempts to tell webhooks",
                "short",
                ((_rate("lmaas_webhook_attempts_total", "webhook, outcome", ""), "{{webhook}} {{outcome}}"),),
            ),
        ),
    ),
)


def dashboard() -> Json:
    """Write the dashboard as Grafana imports it."""
    panels: list[Json] = []
    top = 0
    for title, height, row in ROWS:
        panels.append(_row(title, top, len(panels) + 1))
        top += 1
        for line in _lines(row):
            lefts = (0, *accumulate(panel.width for panel in line))
            for panel, left in zip(line, lefts, strict=False):
                place = {"x": left, "y": top, "w": panel.width, "h": height}
                panels.append(_panel(panel, place, len(panels) + 1))
            top += height
    return {
        "uid": "lmaas-gateway",
        "title": "lmaas",
        "description": "Models, replicas and objectives of lmaas gateways.",
        "tags": ["lmaas", "llm", "vllm"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [_source_variable(), _model_variable()]},
        "links": [],
        "panels": panels,
    }


def _lines(row: tuple[Panel, ...]) -> list[list[Panel]]:
    """Break a row where it is full."""
    lines: list[list[Panel]] = [[]]
    for panel in row:
        if sum(one.width for one in lines[-1]) + panel.width > _COLUMNS:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _row(title: str, top: int, number: int) -> Json:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        "panels": [],
    }


def _panel(panel: Panel, place: Json, number: int) -> Json:
    options: Json = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    if panel.kind == "timeseries":
        options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _source_variable() -> Json:
    return {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}


def _model_variable() -> Json:
    return {
        "type": "query",
        "name": "model",
        "label": "Model",
        "datasource": _SOURCE,
        "query": "label_values(lmaas_replica_up, model)",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    """Give the file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


PATH = Path(__file__).parent / "shipped" / "grafana-dashboard.json"
"""Where it is shipped."""

if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
