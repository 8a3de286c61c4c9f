"""LiteLLM's list of keys: what each may, for keys of ours. Their secrets are hashes, of no use to anybody."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.imports import litellm_reasons as reasons

_ALL_MODELS = frozenset({"all-proxy-models", "all-team-models", "*"})
_DAY_S = 86_400
_MAX_DAYS = 3650
# How often a budget begins anew: of a day it is ours by the day, up to a month ours by the month.
_DAILY, _MONTHLY = frozenset({"1d", "24h", "daily"}), frozenset({"30d", "1mo", "31d", "28d", "monthly"})
_CARRIED = frozenset(
    {
        "token",
        "key_name",
        "key_alias",
        "models",
        "expires",
        "rpm_limit",
        "tpm_limit",
        "max_parallel_requests",
        "max_budget",
        "budget_duration",
        "team_id",
        "team_alias",
        "blocked",
        "allowed_routes",
    }
)


@dataclass(slots=True)
class ForeignKey:
    """A key that is to be made here.

    Attributes:
        name: What people called it.
        shown: How its secret is shown there.
        project: The name of the project that it goes to; empty for the one that is asked for.
        limits: Metric and period, and the most, in the API's units.
        remarks: What of it is not carried over.
    """

    name: str
    shown: str
    project: str = ""
    models: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    expires_in_days: int | None = None
    limits: list[tuple[str, str, int]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_keys(text: str, now_s: float) -> tuple[list[ForeignKey], list[str]]:
    """Read a list of keys.

    Args:
        text: JSON: what `/key/list?return_full_object=true` answers, or the list in it.
        now_s: Unix seconds.

    Returns:
        The keys that can be made here, and what is to be said of the others.

    Raises:
        SettingsError: it is no such list.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"the list of keys is not JSON: {error}") from None
    entries = found.get("keys", found.get("data")) if isinstance(found, dict) else found
    if not isinstance(entries, list):
        raise SettingsError(
            "the list of keys is no list; save what /key/list?return_full_object=true answers"
        )
    keys: list[ForeignKey] = []
    left: list[str] = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            left.append(f"key {index + 1}: is a hash alone; ask for the list with return_full_object=true")
            continue
        key = _read(entry, index, now_s)
        if isinstance(key, str):
            left.append(key)
        else:
            keys.append(key)
    return keys, left


def _read(entry: dict[str, Any], index: int, now_s: float) -> ForeignKey | str:
    shown = str(entry.get("key_name") or entry.get("token") or "")
    name = _name(entry.get("key_alias")) or _name(shown) or f"key {index + 1}"
    if entry.get("blocked"):
        return f"{name}: is blocked, so it is left out"
    key = ForeignKey(name, shown, _name(entry.get("team_alias")) or _name(entry.get("team_id")))
    expires_s = _time(entry.get("expires"))
    if expires_s is not None:
        if expires_s <= now_s:
            return f"{name}: has expired, so it is left out"
        key.expires_in_days = min(max(1, math.ceil((expires_s - now_s) / _DAY_S)), _MAX_DAYS)
    _take_scopes(entry, key)
    _take_limits(entry, key)
    key.remarks += [
        f"{field_name}: {reasons.KEY.get(field_name, 'has no counterpart here')}"
        for field_name, value in entry.items()
        if field_name not in _CARRIED and _is_said(field_name, value)
    ]
    return key


def _take_scopes(entry: dict[str, Any], key: ForeignKey) -> None:
    models = [str(model) for model in entry.get("models") or ()]
    if "no-default-models" in models:
        key.remarks.append(
            "models: it may call none there; it may call none here either, until it is changed"
        )
        key.models = ["no-default-models"]
    elif not _ALL_MODELS.intersection(models):
        key.models = [model.removeprefix("openai/") for model in models]
    for route in entry.get("allowed_routes") or ():
        if str(route).startswith("/"):
            key.routes.append(str(route))
        else:
            key.remarks.append(f"allowed_routes: {route!r} is a group of routes; name each with --routes")


def _take_limits(entry: dict[str, Any], key: ForeignKey) -> None:
    for theirs, metric, period in (
        ("rpm_limit", "requests", "minute"),
        ("tpm_limit", "tokens", "minute"),
        ("max_parallel_requests", "calls_in_flight", "none"),
    ):
        value = entry.get(theirs)
        if isinstance(value, int) and value > 0:
            key.limits.append((metric, period, value))
    budget, duration = entry.get("max_budget"), entry.get("budget_duration")
    if not isinstance(budget, int | float):
        return
    nanos = round(budget * 10**9)
    if duration in _DAILY:
        key.limits.append(("money", "day", nanos))
    elif duration in _MONTHLY:
        key.limits.append(("money", "month", nanos))
    else:
        often = "once for ever" if duration is None else f"every {duration}"
        key.remarks.append(
            f"max_budget: ${budget} {often} has no counterpart; see: lmaas limits set money/month AMOUNT"
        )


def _is_said(name: str, value: object) -> bool:
    """Tell whether a field of LiteLLM's long records says anything that somebody once set."""
    is_bookkeeping = name.endswith(("_at", "_by", "_id")) or name.startswith("litellm_") or name == "spend"
    return (name in {"user_id"} and bool(value)) or (bool(value) and not is_bookkeeping)


def _name(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(char for char in text if char.isprintable())[:64]


def _time(value: object) -> float | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
