"""When a replica has failed a call: deadlines, tries of others, ejection."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class TimeoutSettings(BaseModel):
    """Deadlines of one call towards a replica, in seconds."""

    model_config = FROZEN

    connect_s: float = Field(default=2.0, gt=0, description="Until the connection to a replica stands.")
    first_byte_s: float = Field(
        default=120.0, gt=0, description="Until the first byte of a reply: queueing and prefill."
    )
    idle_s: float = Field(default=60.0, gt=0, description="Between two pieces of a reply.")
    total_s: float = Field(default=1800.0, gt=0, description="For the whole call.")


class RetrySettings(BaseModel):
    """When a call that failed before its first byte goes to another replica."""

    model_config = FROZEN

    max_extra_attempts: int = Field(
        default=2, ge=0, le=8, description="Further replicas that one call may try; none twice."
    )
    percent: float = Field(
        default=10.0, ge=0, le=100, description="Retries that a pool's calls earn, of 100 that go well."
    )
    burst: int = Field(
        default=500,
        ge=0,
        description="The most retries a pool can save up, and has at the start: the calls that one dying "
        "replica may leave to be moved at once. Workers have it together.",
    )


class EjectionSettings(BaseModel):
    """When a replica that passes its health checks but fails its calls is taken out of service."""

    model_config = FROZEN

    consecutive_failures: int = Field(default=5, ge=1, description="Failures in a row that eject a replica.")
    failure_percent: float = Field(
        default=50.0, ge=1, le=100, description="More failures than this, of its latest calls, eject it too."
    )
    min_calls: int = Field(
        default=20, ge=1, description="Latest calls that `failure_percent` needs at least."
    )
    window_s: float = Field(default=30.0, gt=0, description="Calls longer ago than this are not latest.")
    base_s: float = Field(
        default=30.0,
        gt=0,
        description="How long the first ejection lasts; the n-th in a row lasts n times as long.",
    )
    max_s: float = Field(default=300.0, gt=0, description="How long an ejection lasts at most.")
    max_percent: float = Field(
        default=50.0, ge=0, le=100, description="The most of a pool's replicas that are ejected at a time."
    )
    panic_percent: float = Field(
        default=25.0,
        ge=0,
        le=100,
        description="With fewer of its replicas in service than this, or none, a pool uses ejected ones too.",
    )
    max_cooling_s: float = Field(
        default=30.0, ge=0, description="The longest pause that a replica's `Retry-After` can ask for."
    )
