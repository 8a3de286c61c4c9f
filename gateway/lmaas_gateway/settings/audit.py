"""The audit trail."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class AuditSettings(BaseModel):
    """How often the audit trail is signed, and where what was signed is kept."""

    model_config = FROZEN

    checkpoint_rows: int = Field(
        default=100, ge=1, description="The trail is signed after this many rows at the latest."
    )
    checkpoint_interval_s: float = Field(
        default=300.0, gt=0, description="It is signed after this time at the latest, if it has grown."
    )
    checkpoint_file: Path | None = Field(
        default=None,
        description="File of what was signed; best where who can change the database cannot change it. "
        "Default: `audit-checkpoints.jsonl` in `data_dir`.",
    )
