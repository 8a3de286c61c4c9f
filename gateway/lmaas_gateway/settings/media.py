"""Images, audio and video in calls."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from lmaas_gateway.settings.fields import FROZEN, split_names


class MediaSettings(BaseModel):
    """Images, audio and video in calls; no engine is ever given a URL to fetch."""

    model_config = FROZEN

    fetch: bool = Field(
        default=False,
        description="Fetch `https:` URLs for callers and hand them on as data; else only `data:` URLs pass.",
    )
    allowed_domains: tuple[str, ...] = Field(
        default=(),
        description="The only domains to fetch from: `example.org`, or `.example.org` for all below it; "
        "none of them: every public one.",
    )
    allow_http: bool = Field(default=False, description="Fetch `http:` URLs too.")
    ports: tuple[int, ...] = Field(
        default=(443,), description="The only ports to fetch from; with `allow_http` 80 too."
    )
    timeout_s: float = Field(default=5.0, gt=0, description="For one URL, its redirects included.")
    max_items: int = Field(default=16, ge=0, description="Most media parts of a call.")
    max_bytes: int = Field(default=10 * 2**20, ge=1, description="Largest media part.")
    max_total_bytes: int = Field(
        default=32 * 2**20, ge=1, description="Most that is fetched for one call, all together."
    )

    @field_validator("allowed_domains", "ports", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("allowed_domains")
    @classmethod
    def _check_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            if not domain.isascii() or domain != domain.lower() or not set("/:@* ").isdisjoint(domain):
                message = f"{domain!r} is no domain; write example.org, or .example.org for all below it"
                raise ValueError(message)
        return domains
