"""Replies that are kept: for retries, and for equal calls."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class IdempotencySettings(BaseModel):
    """What is kept of calls with an `Idempotency-Key`, so that a retry gets the reply and costs nothing."""

    model_config = FROZEN

    enabled: bool = Field(
        default=True, description="Take notice of `Idempotency-Key`; if not, each try runs anew."
    )
    ttl_s: float = Field(default=86400, gt=0, description="How long a reply is kept for its key, in seconds.")
    max_bytes: int = Field(
        default=64 * 2**20,
        ge=2048,
        description="Memory, or space in `folder`, for kept replies. Beyond it those used longest ago go "
        "(in a folder the oldest), and a retry of theirs runs anew.",
    )
    max_entry_bytes: int = Field(
        default=2**20, ge=1024, description="Longer replies are not kept; a retry of theirs runs anew."
    )
    max_entries: int = Field(default=100_000, ge=1, description="How many replies are kept.")
    folder: Path | None = Field(
        default=None,
        description="Keep replies here, over restarts; with mode 700, since it holds what was generated. "
        "Default: in memory; with several workers, in a folder that they share until the gateway ends.",
    )


class CacheSettings(BaseModel):
    """What is kept for equal calls of the same principal, where a reply is computed and not drawn."""

    model_config = FROZEN

    enabled: bool = Field(
        default=False,
        description="Keep embeddings, scores, tokens and completions at temperature 0, of all models that do "
        "not say otherwise.",
    )
    ttl_s: float = Field(default=3600, gt=0, description="How long a reply is kept, in seconds.")
    max_bytes: int = Field(
        default=64 * 2**20,
        ge=2048,
        description="Memory of each worker for kept replies; those used longest ago go first.",
    )
    max_entry_bytes: int = Field(default=2**20, ge=1024, description="Longer replies are not kept.")
    max_entries: int = Field(default=100_000, ge=1, description="How many replies each worker keeps.")
    max_wait_s: float = Field(
        default=120, gt=0, description="How long a call waits for an equal one that is under way."
    )
