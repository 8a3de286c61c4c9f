"""The report of `lmaas size` as tables in a terminal. Needs `pip install 'lmaas[choose]'`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmaas._shown import without_controls
from lmaas.errors import ConfigurationError

try:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
except ImportError:
    message = "rich is not installed; run `pip install 'lmaas[choose]'`, or ask for --json or --flags"
    raise ConfigurationError(message) from None

if TYPE_CHECKING:
    from lmaas.sizing import Fit

_GIB = 2**30


def print_report(one: Fit, report: Mapping[str, Any]) -> None:
    """Print verdict, memory, room and command; speed and costs where the report has them."""
    console = Console(highlight=False, soft_wrap=False)
    _print_verdict(console, one, report)
    console.print(_memory(report))
    if one.fits:
        console.print(_room(report))
    if report.get("speed"):
        console.print(_speed(report))
    if report.get("costs"):
        console.print(_costs(report["costs"]))
        console.print(_plain(_rests_on(report)), soft_wrap=True)
    if one.fits:
        console.print(_plain(report["command"]), soft_wrap=True)


def _print_verdict(console: Console, one: Fit, report: Mapping[str, Any]) -> None:
    console.print(_plain(f"{one.model.name} {one.reason}", "bold green" if one.fits else "bold red"))
    for way in report["ways_to_fit"]:
        console.print(_plain(f"  would fit: {way}"))


def _plain(text: str, style: str = "") -> Text:
    """Show a text as it is: no markup, and nothing that the name of a folder could do to a terminal."""
    return Text(without_controls(text), style=style)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _memory(report: Mapping[str, Any]) -> Table:
    table = _table(f"One GPU of {report['hardware']}", "what", "GiB", "known by")
    weights = "headers of its files" if report["weights_are_exact"] else "parameters x bits"
    rows = (
        ("vLLM may fill", "budget_bytes", "memory x gpu_memory_utilization"),
        ("weights", "weights_bytes", weights),
        ("activations", "activations_bytes", "estimate (D)"),
        ("CUDA graphs", "cuda_graphs_bytes", "estimate (D)"),
        ("outside PyTorch", "outside_torch_bytes", "estimate (D)"),
        ("KV cache", "kv_cache_bytes", "the rest"),
    )
    for what, field, known_by in rows:
        table.add_row(what, f"{report[field] / _GIB:.2f}", known_by)
    return table


def _room(report: Mapping[str, Any]) -> Table:
    table = _table("One copy", "what", "value")
    tokens = report["kv_cache_tokens"]
    table.add_row(
        "GPUs (tensor x pipeline)", f"{report['tensor_parallel_size']} x {report['pipeline_parallel_size']}"
    )
    table.add_row("copies on this hardware", str(report["replicas"]))
    if tokens["value"]:
        table.add_row("KV bytes a token, on a GPU", f"{report['kv_bytes_per_token']:,}")
        span = f"{tokens['value']:,} ({tokens['low']:,} to {tokens['high']:,})"
        table.add_row("tokens of cache", span)
    table.add_row("longest sequence", f"{report['max_model_len']:,}")
    table.add_row(f"sequences of {report['sequence_tokens']:,} tokens", f"{report['sequences']:,}")
    return table


def _speed(report: Mapping[str, Any]) -> Table:
    title = f"Speed with {report['speed_together']} at a time: a formula's guess (D), measure it"
    table = _table(title, "what", "guess", "from", "to")
    for figure in report["speed"]:
        name = f"{figure['metric']} ({figure['unit']})"
        table.add_row(name, *(f"{figure[end]:.3g}" for end in ("value", "low", "high")))
    return table


def _costs(accounts: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("A day's account, USD", "what", *(account["load"] for account in accounts))
    table.add_row("copies", *(str(account["replicas"]) for account in accounts))
    table.add_row("utilisation", *(f"{account['utilisation']:.0%}" for account in accounts))
    for line in accounts[0]["lines_usd_per_day"]:
        table.add_row(line, *(f"{account['lines_usd_per_day'][line]:.2f}" for account in accounts))
    rows = (
        ("all", "usd_per_day", ".2f"),
        ("a request", "usd_per_request", ".6f"),
        ("a million output tokens", "usd_per_million_output_tokens", ".3f"),
        ("a million prompt tokens", "usd_per_million_prompt_tokens", ".3f"),
        ("hosted instead", "hosted_usd_per_day", ".2f"),
        ("break-even, requests/s", "break_even_requests_per_s", ".3f"),
    )
    for what, field, form in rows:
        if accounts[0].get(field) is not None:
            table.add_row(
                what, *(format(account[field], form) + _beyond(account, field) for account in accounts)
            )
    return table


def _rests_on(report: Mapping[str, Any]) -> str:
    price, goodput = report["usd_per_gpu_hour"], report["goodput"]
    return (
        f"Rests on {price['value']:g} USD a GPU hour ({price['grade']}: {price['source']}) and on "
        f"{goodput['value']:.3g} requests/s a copy ({goodput['grade']}: {goodput['source']})."
    )


def _beyond(account: Mapping[str, Any], field: str) -> str:
    if field != "break_even_requests_per_s" or account["break_even_is_reachable"]:
        return ""
    return " (more than these copies can)"
