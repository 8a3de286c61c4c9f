"""The queue in front of a pool."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class QueueSettings(BaseModel):
    """The queue of each pool, in front of the engines' own."""

    model_config = FROZEN

    max_queued: int = Field(
        default=1024, ge=0, description="Calls that may wait for one model; further ones get 503, or 429."
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="A call that has waited this long, or would have to, gets 503, or 429. Once calls have "
        "waited for longer than this without a break, a further one may have to wait a quarter of it only.",
    )
    reserve: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Part of a pool's places that is kept for tenants with few calls in flight; "
        "it matters only where there is more than one.",
    )
