"""Where the admin API listens."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class AdminSettings(BaseModel):
    """A listener of its own for the admin API."""

    model_config = FROZEN

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address on which the admin API listens, if `port` is set.",
    )
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Its own port, 0 for a free one: `/admin/v1/` then is there and nowhere else. Default: "
        "it is on the gateway's port.",
    )
