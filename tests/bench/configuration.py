"""How lmaas is configured for a measurement: with everything on that it can do for a call, or as it comes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEY = "sk-benchmark-0000"
"""What the load sends as bearer key; lmaas and LiteLLM ask for one, the others take no notice."""

_OTHER_KEY = "sk-benchmark-0001"

FEATURES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (
        "keys of two principals with weights and priorities",
        {
            "keys": [
                {"name": "bench", "key": KEY, "weight": 2},
                {"name": "other", "key": _OTHER_KEY, "priority": "low"},
            ]
        },
    ),
    ("the admin API", {"admin_key": "sk-benchmark-admin-0000"}),
    ("a fair queue with a bound of calls in flight", {"queue": {"max_queued": 1024, "timeout_s": 10}}),
    ("prefix-aware routing with retries and ejection", {"retries": {"percent": 10}, "ejection": {}}),
    ("deadlines, limits on connections, heads, bodies and parameters", {"timeouts": {}, "connections": {}}),
    ("idempotency keys", {"idempotency": {"enabled": True}}),
    ("request ids, usage accounting, metrics and the access log", {"access_log": True}),
)
"""What is on in every measurement: in words for the page, and as settings."""

ALWAYS_ON = ", ".join(words for words, _ in FEATURES)


def features() -> dict[str, Any]:
    """Give the settings of everything that is on in every measurement."""
    return {name: value for _, fragment in FEATURES for name, value in fragment.items()}


def write_config(
    path: Path,
    replicas: Sequence[str],
    *,
    is_bare: bool = False,
    model: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Write a configuration of one chat model `mock` on `replicas`; `settings` of a call win over features.

    Args:
        path: The file.
        replicas: Addresses.
        is_bare: Leave every feature as it comes.
        model: Further settings of the model.
        settings: Further top-level settings.
    """
    # No bound that a measurement of costs would meet: thousands of streams on one replica.
    one = {"name": "mock", "kind": "chat", "max_in_flight": 20_000} | dict(model or {})
    models = [one | {"replicas": [{"url": url} for url in replicas]}]
    values: dict[str, Any] = {"open": True, "max_connections_per_replica": 20_000}
    if not is_bare:
        # Another model to fall back on, another name, and the reply cache, which has nothing to do here.
        models[0] |= {"aliases": ["mock-latest"], "fallbacks": ["spare"]}
        models.append({"name": "spare", "kind": "chat", "replicas": [{"url": replicas[0]}]})
        values |= {"cache": {"enabled": True}}
        values |= features()
    values["models"] = models
    # YAML takes JSON as it is.
    path.write_text(json.dumps(values | settings))
    return path
