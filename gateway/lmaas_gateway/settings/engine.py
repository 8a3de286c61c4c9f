"""The vLLM processes that the gateway launches, and those that it finds too old."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN

OldEngines = Literal["refuse", "warn"]


class EngineSettings(BaseModel):
    """How `vllm serve` processes are launched and watched."""

    model_config = FROZEN

    python: str | None = Field(
        default=None, description="Python interpreter that has vLLM; default: the one that runs the gateway."
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        description="Which build of vLLM the interpreter must have; `auto` takes the one it has.",
    )
    start_timeout_s: float = Field(
        default=600, gt=0, description="A replica that is not ready after this long is restarted."
    )
    shutdown_timeout_s: int = Field(
        default=30,
        ge=0,
        description="How long a stopping replica may finish its calls (`--shutdown-timeout`).",
    )
    max_restarts: int = Field(
        default=5,
        ge=0,
        description="Restarts in a row, without becoming ready, before a replica is given up.",
    )
    restart_backoff_s: float = Field(
        default=1.0, gt=0, description="Pause before the first restart; it doubles up to a minute."
    )
    max_num_queued_reqs: int = Field(
        default=1024,
        ge=1,
        description="Calls that one replica holds before it answers 503 (vLLM's `--max-num-queued-reqs`). "
        "The gateway sends fewer (`max_in_flight`), but for those that another replica lost.",
    )
