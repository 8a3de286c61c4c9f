"""Alerts: when there is one, and where it is sent to."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from lmaas_gateway.settings.fields import FROZEN

Severity = Literal["page", "ticket"]
"""Somebody must look now, or on the next working day."""

_PREFIX = "whsec_"
_MIN_SECRET_BYTES, _MAX_SECRET_BYTES = 24, 64


class WebhookSettings(BaseModel):
    """Where alerts are sent to."""

    model_config = FROZEN

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="What it is called in metrics and logs.",
    )
    url: str = Field(max_length=2048, description="Takes a POST of JSON, by https or http.")
    secret: SecretStr | None = Field(
        default=None,
        description="What its messages are signed with: `whsec_` and 24 to 64 bytes as base64; while it is "
        "changed the new and the old one, with a comma between. Default: `alerts.webhook_secret`, else one "
        "made from the master secret, which `lmaas vault webhook NAME` shows.",
    )
    severities: tuple[Severity, ...] = Field(
        default=("page", "ticket"), min_length=1, description="Which alerts it gets."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            message = "must be an address by http or https, without a name and password in it"
            raise ValueError(message)
        if _is_link_local(parts.hostname):
            message = "is a link-local address, where clouds keep their machines' credentials"
            raise ValueError(message)
        return url

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        return _check(secret)


class AlertSettings(BaseModel):
    """When there is an alert, and who is told."""

    model_config = FROZEN

    webhooks: tuple[WebhookSettings, ...] = Field(
        default=(), description="Where alerts are sent to; see `alerts.webhooks`."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="The secret of webhooks that have none of their own."
    )
    webhook_timeout_s: float = Field(
        default=15.0, gt=0, le=60, description="How long one attempt to tell a webhook may take."
    )
    webhook_retry_s: float = Field(
        default=86400.0, ge=0, description="How long a message that is not taken is tried again."
    )
    renotify_s: float = Field(
        default=14400.0, ge=60, description="How often a firing alert is told again while it lasts."
    )
    replica_down_s: float = Field(
        default=1.0, ge=0, description="How long a replica that was ready may be down before it is an alert."
    )
    replica_suspect_s: float = Field(
        default=0.0,
        ge=0,
        description="How long a replica may be suspect, its health check late by 1.5 s, before it is an "
        "alert. More where engines are busy for seconds and this is known.",
    )
    replica_start_s: float = Field(
        default=900.0, ge=0, description="How long a replica that was never ready may take before it is one."
    )
    restart_s: float = Field(
        default=900.0, ge=1, description="For how long after an engine's restart there is an alert of it."
    )
    min_events: int = Field(
        default=10,
        ge=1,
        description="With fewer calls than this in the longer window no objective of calls is an alert: one "
        "failed call of two is no trend.",
    )

    @field_validator("webhook_secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        return _check(secret)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [webhook.name for webhook in self.webhooks]
        for name in names:
            if names.count(name) > 1:
                message = f"there are two webhooks called {name!r}; give each a `name` of its own"
                raise ValueError(message)
        return self


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Read signing secrets, the newest first, with commas between them.

    Raises:
        ValueError: one is not of this form.

    Source: Standard Webhooks 1.0.0, "Signature scheme".
    """
    return tuple(_read_secret(part.strip()) for part in text.split(","))


def _read_secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(_PREFIX) or not _MIN_SECRET_BYTES <= len(secret) <= _MAX_SECRET_BYTES:
        message = (
            f"is not `{_PREFIX}` and {_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES} bytes as base64; make one "
            f"with: echo {_PREFIX}$(openssl rand -base64 32)"
        )
        raise ValueError(message)
    return secret


def _check(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        read_secrets(secret.get_secret_value())
    return secret


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False
