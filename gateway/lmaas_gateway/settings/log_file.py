"""The file that log lines go to."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class LogFileSettings(BaseModel):
    """A file for all log lines, in place of standard output and standard error."""

    model_config = FROZEN

    path: Path | None = Field(
        default=None,
        description="The file; all workers write to it. `lmaas logs` and `GET /admin/v1/logs` read it. "
        "Default: none, lines of calls go to standard output and all others to standard error.",
    )
    max_bytes: int = Field(
        default=64 * 2**20,
        ge=2**16,
        description="A file of this size becomes `….1`, and a new one begins.",
    )
    keep: int = Field(default=5, ge=0, le=100, description="How many older files stay.")
