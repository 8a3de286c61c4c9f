"""Caps and deadlines of client connections."""

from __future__ import annotations

import ipaddress
from typing import Any

from pydantic import BaseModel, Field, field_validator

from lmaas_gateway.settings.fields import FROZEN, split_names


class ConnectionSettings(BaseModel):
    """How many client connections there may be, and how long and how much each may take."""

    model_config = FROZEN

    max_connections: int = Field(
        default=16384, ge=1, description="Open client connections of one process; further ones get 503."
    )
    max_connections_per_address: int = Field(
        default=1024,
        ge=1,
        description="Open connections from one address (of IPv6: one /64 network); further ones get 503.",
    )
    max_bodies_bytes: int = Field(
        default=1 << 30,
        ge=1 << 20,
        description="What all request bodies of one process that are longer than 64 KiB may take of its "
        "memory until their calls end; a further one gets 503. At least `max_body_bytes`.",
    )
    exempt_addresses: tuple[str, ...] = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Addresses and networks without a cap of their own, such as a proxy in front.",
    )
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="For a new connection's, or request's, whole head; then 408."
    )
    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="For a request's body, unless it comes at `min_bytes_per_s` or faster; then 408.",
    )
    min_bytes_per_s: int = Field(
        default=1024, ge=1, description="The slowest pace of an honest client, sending or reading."
    )
    write_stall_s: float = Field(
        default=30.0,
        gt=0,
        description="A client that reads its reply more slowly than that for so long is cut off.",
    )
    keep_alive_s: float = Field(
        default=75.0, gt=0, description="How long a connection may wait for its next request."
    )
    max_header_bytes: int = Field(default=65536, ge=1024, description="Longest head; a longer one gets 431.")
    max_headers: int = Field(default=128, ge=8, description="Most headers of one request; more get 431.")
    max_url_bytes: int = Field(default=8192, ge=64, description="Longest URL; a longer one gets 414.")

    @field_validator("exempt_addresses", mode="before")
    @classmethod
    def _split_addresses(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("exempt_addresses")
    @classmethod
    def _check_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            try:
                ipaddress.ip_network(address)
            except ValueError:
                message = f"{address!r} is no address or network; write 10.0.0.7 or 10.0.0.0/24"
                raise ValueError(message) from None
        return addresses
