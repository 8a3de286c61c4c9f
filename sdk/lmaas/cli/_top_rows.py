"""What `lmaas top` shows of a view: rows of words, without a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lmaas.cli._terminal import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas.cli._top_spend import Surroundings
    from lmaas.types import LiveFlow, LiveReplica, LiveSpread, LiveView

MODELS: Final = (
    "MODEL", "STATE", "CALLS/S", "ERRORS", "TTFT P50", "P95", "TOKEN P50", "TOKENS/S", "BUSY", "QUEUE",
    "WAIT P95", "$/H",
)  # fmt: skip
REPLICAS: Final = (
    "REPLICA",
    "MODEL",
    "STATE",
    "CALLS",
    "RUN",
    "WAIT",
    "KV CACHE",
    "TOKENS/S",
    "TTFT P50",
    "PROBLEM",
)
_BARS: Final = "▁▂▃▄▅▆▇█"

Row = tuple[str, ...]


def model_rows(view: LiveView, around: Surroundings) -> list[Row]:
    """Write a row a model, and one of all if there are several."""
    rows: list[Row] = [
        (
            model.name,
            model.state,
            *_flow_cells(model.flow),
            f"{model.in_flight}/{model.capacity}" if model.capacity else str(model.in_flight),
            str(model.waiting),
            seconds(model.queue_wait, "p95_s"),
            around.per_hour_text(model, view.covered_s),
        )
        for model in view.models
    ]
    if len(rows) > 1:
        total = _flow_cells(view.total)
        rows.append(("all", "", *total, str(view.in_flight), str(view.waiting), "", around.total_text(view)))
    return rows


def plain(view: LiveView, around: Surroundings) -> str:
    """Write all of it as lines of text."""
    lines = [headline(view, around), *alert_lines(around), ""]
    return (
        "\n".join(lines)
        + f"\n{table(MODELS, model_rows(view, around))}\n{table(REPLICAS, replica_rows(view))}\n"
    )


def headline(view: LiveView, around: Surroundings) -> str:
    """Write the whole gateway in a line."""
    flow = view.total
    parts = (
        datetime.fromtimestamp(view.at, UTC).strftime("%H:%M:%S UTC"),
        f"last {view.covered_s} s",
        f"{flow.calls_per_s:.1f} calls/s",
        f"{flow.prompt_tokens_per_s:,.0f} + {flow.completion_tokens_per_s:,.0f} tokens/s",
        f"{view.in_flight} in flight, {view.waiting} waiting",
        f"today {around.today}",
        f"{len(around.alerts)} alerts",
    )
    return "  ".join(parts)


def alert_lines(around: Surroundings) -> list[str]:
    """Write a line an alert."""
    return [f"{alert.severity}: {alert.summary}" for alert in around.alerts]


def _flow_cells(flow: LiveFlow) -> Row:
    return (
        f"{flow.calls_per_s:.1f}",
        f"{flow.error_rate:.1%}" if flow.calls else "-",
        seconds(flow.ttft, "p50_s"),
        seconds(flow.ttft, "p95_s"),
        seconds(flow.inter_token, "p50_s"),
        f"{flow.completion_tokens_per_s:,.0f}",
    )


def replica_rows(view: LiveView) -> list[Row]:
    """Write a row a replica."""
    return [_replica_row(model.name, replica) for model in view.models for replica in model.replicas]


def _replica_row(model: str, replica: LiveReplica) -> Row:
    engine = replica.engine
    return (
        replica.name,
        model,
        replica.state,
        str(replica.in_flight),
        "-" if engine is None else str(engine.running),
        "-" if engine is None else str(engine.waiting),
        "-" if engine is None else f"{engine.kv_cache_usage:.0%}",
        f"{replica.flow.completion_tokens_per_s:,.0f}",
        seconds(replica.flow.ttft, "p50_s"),
        replica.problem if replica.state != "ready" else "",
    )


def seconds(spread: LiveSpread, name: str) -> str:
    """Write a percentile of a spread; "-" where nothing was observed."""
    if not spread.count:
        return "-"
    value: float = getattr(spread, name)
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def sparkline(values: Sequence[float]) -> str:
    """Draw values as bars of one character each, the largest as the highest."""
    most = max(values, default=0.0)
    if most <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int(value / most * 8))] for value in values)
