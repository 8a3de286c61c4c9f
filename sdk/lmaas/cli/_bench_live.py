"""`lmaas bench --live`: evidence from the metrics of a gateway that serves."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lmaas import LMaaS
from lmaas._request import Operation
from lmaas.cli._errors import CommandError
from lmaas.cli._rich_tables import show_table
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lmaas.evidence import Evidence
    from lmaas.measuring._gateway_metrics import Sample


def show_live(options: argparse.Namespace) -> int:
    """Read the metrics, once or at both ends of a window, and print what they tell of a model."""
    from lmaas.measuring._gateway_metrics import live_evidence

    if options.model is None:
        raise CommandError("name the model that the traffic is of: --model MODEL")
    before: Sequence[Sample] = ()
    if options.window is not None and not 0 < options.window < inf:
        raise CommandError(f"--window is {options.window:g}; give seconds above 0")
    if options.window is not None:
        before = _read(options.live)
        note(f"counting for {options.window:g} s")
        time.sleep(options.window)
    now = _read(options.live)
    source = f"live traffic, {_without_secrets(options.live)}"
    if options.window is not None:
        source += f", {options.window:g} s"
    today = datetime.now(UTC).date()
    found = live_evidence(now, before, model=options.model, source=source, as_of=today)
    _show(found, f"{options.model}", as_json=options.json)
    return 0


def _read(url: str) -> Sequence[Sample]:
    from lmaas.measuring._gateway_metrics import samples_of

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise CommandError(
            "--live takes the URL of a gateway's metrics, such as http://127.0.0.1:8000/metrics"
        )
    # No resource of the client has this route: its base URL is the route itself.
    with LMaaS(base_url=url) as client:
        content, _ = client._caller.read(Operation("GET", ""), {})  # noqa: SLF001 - see above
    return samples_of(content.decode("utf-8", "replace"))


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _show(found: Sequence[Evidence], model: str, *, as_json: bool) -> None:
    if as_json:
        plain = {"evidence": {f"lmaas/{model}": [one.to_dict() for one in found]}}
        write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")
        return
    rows = [
        (one.metric, f"{one.value:.4g}", f"{one.low:.4g} to {one.high:.4g}", one.unit or "share", str(one.n))
        for one in found
        if one.low is not None and one.high is not None
    ]
    show_table(f"{model}: live traffic (grade B)", ("metric", "value", "interval", "unit", "calls"), rows)
