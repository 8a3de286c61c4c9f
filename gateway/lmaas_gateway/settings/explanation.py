"""Which setting cannot work, where in the file it stands, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.places import line_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError

# How pydantic names the branches of `replicas`, a number or a list, in the place of an error.
_UNION_TAGS = {"constrained-int", "tuple[ReplicaSettings, ...]"}


def explain(error: ValidationError, config: Path | None = None, text: str = "") -> str:
    """Say of each setting that cannot work which it is, where it stands in the file, and why.

    A value that may be secret is not shown.

    Args:
        error: What pydantic found.
        config: The file that was read.
        text: What it held.
    """
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        parts = [part for part in problem["loc"] if part not in _UNION_TAGS]
        line = None if config is None else line_of(text, parts)
        where = "" if line is None else f"{config}, line {line}: "
        place = ".".join(map(str, parts))
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "no such setting; docs/configuration.md lists them all"
        lines.append(where + (f"{place}: {reason}" if place else reason))
    return "; ".join(dict.fromkeys(lines))
