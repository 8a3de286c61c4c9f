"""Service level objectives: what a model promises, and over how long."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN

_OBJECTIVE = "Which share must be so, below 1: 0.99 lets one of a hundred be otherwise."


class LatencyObjective(BaseModel):
    """How quick a share of the calls, or of their tokens, must be."""

    model_config = FROZEN

    threshold_s: float = Field(gt=0, description="How long it may take; one of the metric's buckets.")
    objective: float = Field(default=0.99, gt=0, lt=1, description=_OBJECTIVE)


class ShareObjective(BaseModel):
    """Which share must be well."""

    model_config = FROZEN

    objective: float = Field(default=0.999, gt=0, lt=1, description=_OBJECTIVE)


class ObjectiveSettings(BaseModel):
    """What one model promises; what is left out, or null, is not watched."""

    model_config = FROZEN

    window_days: int = Field(
        default=30, ge=7, le=90, description="Over how many days what may go wrong is counted."
    )
    ttft: LatencyObjective | None = Field(
        default=None,
        description="Time to the first token of a stream: `{threshold_s: 1.6, objective: 0.95}`.",
    )
    inter_token: LatencyObjective | None = Field(
        default=None, description="Time between two tokens of a stream, as `ttft`."
    )
    error_rate: ShareObjective | None = Field(
        default=ShareObjective(),
        description="Calls that do not fail by our fault (5xx), of all that are not the caller's (4xx): "
        "`{objective: 0.999}`.",
    )
    availability: ShareObjective | None = Field(
        default=ShareObjective(),
        description="Time in which at least one replica takes calls: `{objective: 0.999}`.",
    )
