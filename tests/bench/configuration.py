"""How lmaas is configured for a measurement: with everything on that it can do for a call, or as it comes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEY = "sk-benchmark-0000"
"""What the load sends as bearer key; lmaas and LiteLLM ask for one, the others take no notice."""

FEATURES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("an API key", {"api_key": KEY}),
    ("request ids, usage accounting, metrics and the access log", {}),
)
"""What is on in every measurement: in words for the page, and as settings."""

ALWAYS_ON = ", ".join(words for words, _ in FEATURES)


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
    one = {"name": "mock", "kind": "chat", "replicas": [{"url": url} for url in replicas]}
    values: dict[str, Any] = {"models": [one | dict(model or {})], "max_connections_per_replica": 20_000}
    for _, fragment in () if is_bare else FEATURES:
        values |= fragment
    # YAML takes JSON as it is.
    path.write_text(json.dumps(values | settings))
    return path
