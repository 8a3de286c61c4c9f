"""Keys and tokens of tenants."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from lmaas_gateway.settings.fields import FROZEN, split_names
from lmaas_gateway.settings.issuers import IssuerSettings


class IdentitySettings(BaseModel):
    """How callers are known."""

    model_config = FROZEN

    running_streams: Literal["cut", "finish"] = Field(
        default="cut",
        description="What becomes of a call under way whose key is revoked or expires: `cut` (a stream ends "
        "with the error event `key_revoked`, and what was made is billed) or `finish`.",
    )
    key_lifetime_days: int = Field(
        default=90, ge=0, le=3650, description="How long a new key lives if nothing is said; 0 for ever."
    )
    cache_keys: int = Field(
        default=100_000, ge=1, description="Keys that a process remembers; the rest cost a query each time."
    )
    cache_s: float = Field(
        default=60.0, gt=0, le=3600, description="How long a key is known before the store is asked again."
    )
    cache_misses_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="How long a key that the store does not know is refused unasked.",
    )
    stale_s: float = Field(
        default=300.0,
        ge=0,
        le=86400,
        description="While the store cannot be asked, a known key is taken for this long after `cache_s`; "
        "never one that is known to be revoked.",
    )
    poll_s: float = Field(
        default=1.0, gt=0, le=5, description="How often the store is asked which keys have changed."
    )
    max_lookups_per_s: int = Field(
        default=200,
        ge=1,
        description="Keys that a process asks the store for in vain in a second; further ones that it "
        "does not know get 503.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Networks (CIDR) of proxies whose `X-Forwarded-For` says where a call comes from; "
        "anybody else's is not looked at.",
    )

    issuers: tuple[IssuerSettings, ...] = Field(
        default=(), description="Identity providers whose tokens (JWT) people may send in a key's place."
    )

    @field_validator("issuers", mode="before")
    @classmethod
    def _read_issuers(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("issuers")
    @classmethod
    def _check_issuers(cls, issuers: tuple[IssuerSettings, ...]) -> tuple[IssuerSettings, ...]:
        names = [issuer.issuer for issuer in issuers]
        if len(set(names)) < len(names):
            message = "two have the same `issuer`"
            raise ValueError(message)
        return issuers

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_proxies(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ip_network(network)
            except ValueError as error:
                message = f"{network!r} is not a network; write it as 10.0.0.0/8: {error}"
                raise ValueError(message) from None
        return networks
