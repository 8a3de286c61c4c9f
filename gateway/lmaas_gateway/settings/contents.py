"""Contents of calls, of projects that have them kept."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class ContentSettings(BaseModel):
    """How much of calls is kept where a project has `stores_content`, encrypted. By default none has."""

    model_config = FROZEN

    max_bytes: int = Field(
        default=2**20, ge=1024, description="Of a request, and of a reply; what is longer is cut."
    )
    max_waiting_bytes: int = Field(
        default=64 * 2**20,
        ge=2**20,
        description="How much may wait in memory for the database; further contents are dropped and counted.",
    )
    data_key_days: float = Field(
        default=90.0, gt=0, description="How long one data key of an organization seals; it opens for ever."
    )
    retention_days: int | None = Field(
        default=30, ge=1, description="How long contents are kept; empty for ever."
    )
