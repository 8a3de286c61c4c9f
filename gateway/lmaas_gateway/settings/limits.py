"""How limits are kept; what they are stands with each subject."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class LimitSettings(BaseModel):
    """How limits are kept."""

    model_config = FROZEN

    step_tokens: int = Field(
        default=256,
        ge=1,
        description="A limited stream that does not bound its tokens reserves so many at a time, first a "
        "quarter of its lowest limit at most, and ends with finish reason `length` where no more can be had.",
    )
    unbounded_tokens: int = Field(
        default=4096,
        ge=1,
        description="The completion of a limited call that is no stream and does not bound its tokens: so "
        "many are reserved, a quarter of its lowest limit at most, and its replica is told that bound.",
    )
    outage_percent: float = Field(
        default=10.0,
        ge=0,
        le=100,
        description="Part of each limit that every process lets through by itself while the shared store "
        "does not answer; 0 refuses what is limited.",
    )
    store_timeout_s: float = Field(
        default=0.05, gt=0, le=5, description="How long the shared store may take to answer a call."
    )
    tokenizer_threads: int = Field(default=2, ge=1, le=64, description="Threads that count prompts.")
    max_counters: int = Field(
        default=65_536,
        ge=64,
        le=2**24,
        description="Counters that one host has room for: one for each limit of each subject that calls.",
    )
