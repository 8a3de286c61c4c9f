"""Where keys, limits, books and audit are kept."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

from lmaas_gateway.settings.fields import FROZEN

_DATABASES = ("sqlite:///", "postgresql://", "postgres://")
_COUNTERS = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


class StorageSettings(BaseModel):
    """The database, and what several hosts share beside it."""

    model_config = FROZEN

    url: SecretStr | None = Field(
        default=None,
        description="The database: `sqlite:////var/lib/lmaas/lmaas.sqlite` for one machine, or "
        "`postgresql://user:password@host/database` for more. Default: SQLite, `lmaas.sqlite` in `data_dir`.",
    )
    valkey_url: SecretStr | None = Field(
        default=None,
        description="Valkey or Redis, `redis://:password@host:6379/0` (`rediss://` for TLS): counters of "
        "limits and news of revoked keys, shared by several hosts. Default: each host has its own.",
    )
    deadline_s: float = Field(
        default=0.25,
        gt=0,
        le=30,
        description="How long a call waits for the database at most.",
    )
    admin_deadline_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="The same for what operators ask for, such as a month's usage, and for migrations.",
    )
    connections: int = Field(
        default=4, ge=1, le=64, description="Connections to the database, of each worker."
    )
    breaker_failures: int = Field(
        default=5, ge=1, description="After so many failures in a row a store is left alone for a while."
    )
    breaker_open_s: float = Field(
        default=5.0, gt=0, description="How long, until one request tries it again."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            text = url.get_secret_value()
            if not text.startswith(_DATABASES) or text in _DATABASES or ":memory:" in text:
                message = (
                    "is not a database; write sqlite:////path/to/file or postgresql://user:password@host/name"
                )
                raise ValueError(message)
        return url

    @field_validator("valkey_url")
    @classmethod
    def _check_valkey_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_COUNTERS):
            message = "is no address of Valkey or Redis; write redis://:password@host:6379/0"
            raise ValueError(message)
        return url
