"""Identity providers whose tokens people may come with."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from lmaas_gateway.settings.fields import FROZEN

SigningAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Of a public and a private key each; a shared secret would let whoever checks tokens make them too."""


class IssuerSettings(BaseModel):
    """An identity provider (OpenID Connect)."""

    model_config = FROZEN

    issuer: str = Field(min_length=1, max_length=256, description="What its tokens have as `iss`.")
    audience: str = Field(min_length=1, max_length=256, description="What tokens for here have as `aud`.")
    jwks_url: str | None = Field(
        default=None, description="Where its keys are, by https; or say `jwks_file`. No redirect is followed."
    )
    jwks_file: Path | None = Field(default=None, description="A file with its keys (JWK Set).")
    ca_file: Path | None = Field(
        default=None, description="Who may vouch for `jwks_url`; default: whom the system trusts."
    )
    algorithms: tuple[SigningAlgorithm, ...] = Field(
        default=("RS256", "ES256"), min_length=1, description="What its tokens may be signed with."
    )

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, issuer: str) -> str:
        if "|" in issuer:
            message = "holds a `|`, which parts issuer and subject in the name of a member"
            raise ValueError(message)
        return issuer

    @field_validator("jwks_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))
        if not is_safe or not parts.hostname:
            message = "must be an https address: who can change what comes from it can make tokens"
            raise ValueError(message)
        return url

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            message = f"the issuer {self.issuer!r} needs `jwks_url` or `jwks_file`, and not both"
            raise ValueError(message)
        return self


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
