"""Records of single calls, from which they are explained."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class RecordSettings(BaseModel):
    """How many of the last calls can be explained in full; of older ones there is the ledger's row."""

    model_config = FROZEN

    calls: int = Field(
        default=4096,
        ge=0,
        le=2**20,
        description="Records that each worker keeps of its last calls, 1 KiB of memory each; 0 keeps none.",
    )
    notable_calls: int = Field(
        default=1024,
        ge=1,
        le=2**20,
        description="The same beside them, for calls that failed, were tried again or were slow, so that "
        "many quick ones do not push these out.",
    )
    slow_s: float = Field(default=10.0, gt=0, description="A call that takes longer is slow.")
    server_timing: bool = Field(
        default=True,
        description="Tell callers in a `Server-Timing` header where the time went until their reply began.",
    )
