"""A replica that already runs: where it listens, and what it takes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from lmaas_gateway.settings.fields import FROZEN


class ReplicaSettings(BaseModel):
    """A replica that already runs somewhere else."""

    model_config = FROZEN

    name: str = Field(
        default="",
        max_length=256,
        description="Its name in metrics, logs and the admin API; default: the model's and a number.",
    )
    url: str = Field(
        description="Where it listens: `http://host:port`, `https://host:port` or `unix:/path/to.sock`."
    )
    api_key: SecretStr | None = Field(
        default=None, description="Bearer key that the replica asks for (vLLM's `--api-key`)."
    )
    ca_file: Path | None = Field(
        default=None, description="CA bundle that signed an `https` replica, instead of the system's."
    )
    cert_file: Path | None = Field(
        default=None, description="PEM file of the certificate that an `https` replica wants us to show."
    )
    key_file: Path | None = Field(
        default=None,
        description="PEM file of its private key, which nobody else may read; default: `cert_file` holds it.",
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="How much it takes beside the others; 2 is sent twice the tokens of 1.",
    )
    draining: bool = Field(default=False, description="Finish the calls that it has and take no new ones.")
    first_byte_s: float | None = Field(
        default=None, gt=0, description="Deadline of a reply's first byte; default: the model's."
    )
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Sequences that it works on at once, if not as its model says."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://", "unix:/")):
            message = (
                f"{url!r} is not a replica address; write http://host:port, https://host:port or unix:/path"
            )
            raise ValueError(message)
        if not url.startswith("unix:"):
            _check_authority(url)
        return url.rstrip("/")

    @field_validator("cert_file")
    @classmethod
    def _check_cert(cls, cert_file: Path | None, info: ValidationInfo) -> Path | None:
        if cert_file is not None and not info.data.get("url", "https://").startswith("https://"):
            message = f"has no use: {info.data['url']!r} speaks no TLS; write https://host:port"
            raise ValueError(message)
        return cert_file

    @field_validator("key_file")
    @classmethod
    def _check_key(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if key_file is not None and info.data.get("cert_file") is None:
            message = "has no use: there is no cert_file; name the certificate's file, or none of both"
            raise ValueError(message)
        return key_file


def _check_authority(url: str) -> None:
    """Refuse what would be left unused, or fail at the first call."""
    message = "a replica's url is scheme, host and port only, as in http://host:port; no path, query or user"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(message) from None
    if not has_host or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(message)
