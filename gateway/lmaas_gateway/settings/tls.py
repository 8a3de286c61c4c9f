"""TLS of the listener."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from lmaas_gateway.settings.fields import FROZEN


class TlsSettings(BaseModel):
    """How clients reach the gateway over TLS. The files are read again when they change, and at SIGHUP."""

    model_config = FROZEN

    cert_file: Path | None = Field(
        default=None,
        description="PEM file of the certificate and those between it and its root; with one, the gateway "
        "speaks HTTPS only.",
    )
    key_file: Path | None = Field(
        default=None,
        description="PEM file of the certificate's private key, which nobody else may read; default: "
        "`cert_file` holds it too.",
    )
    key_password: SecretStr | None = Field(
        default=None, description="What the private key is encrypted with."
    )
    min_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="The oldest version of TLS that clients may speak."
    )
    client_certificates: Literal["off", "optional", "required"] = Field(
        default="off",
        description="Whether clients show certificates: not at all, those that have one, or all. One that is "
        "shown must be good.",
    )
    client_ca_file: Path | None = Field(
        default=None, description="PEM file of the CAs that signed the clients' certificates."
    )
    handshake_timeout_s: float = Field(
        default=10.0, gt=0, description="For a new connection's TLS handshake; then it is cut."
    )

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if self.cert_file is None and (self.key_file or self.client_certificates != "off"):
            message = "has no cert_file, without which nothing of it is used; name the certificate's file"
            raise ValueError(message)
        if (self.client_ca_file is None) != (self.client_certificates == "off"):
            message = (
                "has client_ca_file without client_certificates, or the other way round; set "
                "client_certificates to optional or required and client_ca_file to their CA"
            )
            raise ValueError(message)
        return self
