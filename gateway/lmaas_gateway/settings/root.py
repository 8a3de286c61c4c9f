"""All settings of a gateway, group by group, and what must hold between groups.

It imports every group, since it is made of them.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from lmaas_gateway.settings.admin import AdminSettings
from lmaas_gateway.settings.alerts import AlertSettings
from lmaas_gateway.settings.audit import AuditSettings
from lmaas_gateway.settings.books import BooksSettings
from lmaas_gateway.settings.connections import ConnectionSettings
from lmaas_gateway.settings.contents import ContentSettings
from lmaas_gateway.settings.dashboard import DashboardSettings
from lmaas_gateway.settings.engine import EngineSettings, OldEngines
from lmaas_gateway.settings.failover import EjectionSettings, RetrySettings, TimeoutSettings
from lmaas_gateway.settings.fields import FIXED, FROZEN, split_names
from lmaas_gateway.settings.identity import IdentitySettings
from lmaas_gateway.settings.keys import MIN_KEY_CHARS, TOO_SHORT, KeySettings, check_key_names
from lmaas_gateway.settings.limits import LimitSettings
from lmaas_gateway.settings.log_file import LogFileSettings
from lmaas_gateway.settings.media import MediaSettings
from lmaas_gateway.settings.model_list import check_models
from lmaas_gateway.settings.models import ModelSettings
from lmaas_gateway.settings.policy import PolicySettings
from lmaas_gateway.settings.quality import CanaryPrompt, QualitySettings
from lmaas_gateway.settings.queueing import QueueSettings
from lmaas_gateway.settings.records import RecordSettings
from lmaas_gateway.settings.replay import CacheSettings, IdempotencySettings
from lmaas_gateway.settings.storage import StorageSettings
from lmaas_gateway.settings.tls import TlsSettings
from lmaas_gateway.settings.tracing import TracingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(BaseModel):
    """All settings of one gateway."""

    model_config = FROZEN

    host: str = Field(default="127.0.0.1", description="Address to listen on.", json_schema_extra=FIXED)
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="Port to listen on; 0 takes a free one.",
        json_schema_extra=FIXED,
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Processes that share the port.", json_schema_extra=FIXED
    )
    models: tuple[ModelSettings, ...] = Field(default=(), description="The models to serve.")
    api_key: SecretStr | None = Field(
        default=None, description="A key of the configuration, beside those of the store, as a bearer token."
    )
    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Keys of several principals, beside `api_key` or in its place."
    )
    open: bool = Field(
        default=False,
        description="Serve without tenants: nothing is stored, only keys of the configuration exist, and "
        "where there is none everybody on this machine is let in. For development: `lmaas serve --open`.",
        json_schema_extra=FIXED,
    )
    identity: IdentitySettings = Field(
        default=IdentitySettings(), description="Keys and tokens of tenants.", json_schema_extra=FIXED
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Exact origins of browser front ends, such as `https://chat.example.org`."
    )
    max_body_bytes: int = Field(
        default=32 * 2**20, ge=1024, description="Largest request body; a larger one is refused with 413."
    )
    max_connections_per_replica: int = Field(
        default=4096, ge=1, description="Open connections to one replica; further calls get 503."
    )
    max_reply_bytes: int = Field(
        default=256 * 2**20,
        ge=2**20,
        description="A longer reply of a replica is taken to have no end, and cut.",
    )
    old_engines: OldEngines = Field(
        default="refuse",
        description="What becomes of a replica that says it is a vLLM before 0.32.0, which one hostile "
        "request stops: `refuse` (it takes no calls) or `warn` (in the log). Engines without a `/version` "
        "are taken.",
    )
    probe_interval_s: float = Field(
        default=5.0, gt=0, description="How often a ready replica's health is asked for."
    )
    stream_keep_alive_s: float = Field(
        default=10.0,
        gt=0,
        description="A stream that is silent for this long, before its first event or between two, sends a "
        "comment. With the first one the status goes out as 200, and what fails then is an error event.",
    )
    drain_delay_s: float = Field(
        default=0.0,
        ge=0,
        description="How long new calls are still taken after SIGTERM, while `/readyz` says 503 already: the "
        "time that a load balancer needs to notice. 5 behind one, 0 without.",
        json_schema_extra=FIXED,
    )
    shutdown_timeout_s: int = Field(
        default=30,
        ge=0,
        description="How long calls in flight may finish after SIGTERM, and after `drain_delay_s`.",
        json_schema_extra=FIXED,
    )
    admin_key: SecretStr | None = Field(
        default=None,
        description="The key of operators, as a bearer token on `/admin/v1/`, which does not exist without.",
    )
    admin: AdminSettings = Field(
        default=AdminSettings(),
        description="A listener of its own for the admin API.",
        json_schema_extra=FIXED,
    )
    dashboard: DashboardSettings = Field(
        default=DashboardSettings(), description="The pages for people.", json_schema_extra=FIXED
    )
    access_log: bool = Field(
        default=True,
        description="Write one JSON line per call, to standard output or `log_file.path`.",
        json_schema_extra=FIXED,
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least severity of what is logged besides the access log.",
        json_schema_extra=FIXED,
    )
    log_file: LogFileSettings = Field(
        default=LogFileSettings(), description="A file for log lines.", json_schema_extra=FIXED
    )
    runtime_dir: Path | None = Field(
        default=None,
        description="Folder for sockets and engine logs; default: a private one per start.",
        json_schema_extra=FIXED,
    )
    cache_dir: Path | None = Field(
        default=None,
        description="Folder for prepared models; default: `lmaas` in the XDG cache folder.",
        json_schema_extra=FIXED,
    )
    data_dir: Path | None = Field(
        default=None,
        description="Folder of what must outlive the gateway: master secret, embedded database, journal; "
        "default: `lmaas` in the XDG data folder.",
        json_schema_extra=FIXED,
    )
    master_key: SecretStr | None = Field(
        default=None,
        description="The master secret, from which all keys of the gateway are made; several versions as "
        "`2:…,1:…`. Better in a file.",
        json_schema_extra=FIXED,
    )
    master_key_file: Path | None = Field(
        default=None,
        description="File of the master secret, a version a line, which nobody else may read; default: "
        "`master.key` in `data_dir`, made at the first start.",
        json_schema_extra=FIXED,
    )
    storage: StorageSettings = Field(
        default=StorageSettings(),
        description="Where keys, limits, books and audit are kept.",
        json_schema_extra=FIXED,
    )
    alerts: AlertSettings = Field(
        default=AlertSettings(), description="When there is an alert, and who is told."
    )
    audit: AuditSettings = Field(
        default=AuditSettings(),
        description="How the audit trail is signed.",
        json_schema_extra=FIXED,
    )
    contents: ContentSettings = Field(
        default=ContentSettings(), description="Prompts and replies that are kept.", json_schema_extra=FIXED
    )
    tls: TlsSettings = Field(default=TlsSettings(), description="HTTPS.", json_schema_extra=FIXED)
    engine: EngineSettings = Field(
        default=EngineSettings(), description="Launched engines.", json_schema_extra=FIXED
    )
    idempotency: IdempotencySettings = Field(
        default=IdempotencySettings(), description="Replies kept for retries.", json_schema_extra=FIXED
    )
    cache: CacheSettings = Field(default=CacheSettings(), description="Replies kept for equal calls.")
    books: BooksSettings = Field(
        default=BooksSettings(), description="The record of every call.", json_schema_extra=FIXED
    )
    records: RecordSettings = Field(
        default=RecordSettings(), description="Explaining single calls.", json_schema_extra=FIXED
    )
    tracing: TracingSettings = Field(
        default=TracingSettings(), description="Traces for OpenTelemetry.", json_schema_extra=FIXED
    )
    quality: QualitySettings = Field(
        default=QualitySettings(), description="Looking at a sample of replies.", json_schema_extra=FIXED
    )
    canary_prompts: tuple[CanaryPrompt, ...] = Field(
        default=(), description="Prompts that are sent now and then, with what their replies must be like."
    )
    timeouts: TimeoutSettings = Field(default=TimeoutSettings(), description="Deadlines towards replicas.")
    queue: QueueSettings = Field(default=QueueSettings(), description="The queue of each pool.")
    retries: RetrySettings = Field(default=RetrySettings(), description="Trying other replicas.")
    ejection: EjectionSettings = Field(default=EjectionSettings(), description="Leaving bad replicas out.")
    limits: LimitSettings = Field(
        default=LimitSettings(), description="How limits are kept.", json_schema_extra=FIXED
    )
    policy: PolicySettings = Field(default=PolicySettings(), description="Parameters of callers.")
    media: MediaSettings = Field(default=MediaSettings(), description="Media in calls.")
    connections: ConnectionSettings = Field(
        default=ConnectionSettings(), description="Client connections: caps and deadlines."
    )

    def data_folder(self, environ: Mapping[str, str] = os.environ) -> Path:
        """Where what must outlive the gateway is kept.

        Source: XDG Base Directory Specification; a relative `XDG_DATA_HOME` counts as unset.
        """
        if self.data_dir is not None:
            return self.data_dir
        base = Path(environ.get("XDG_DATA_HOME", ""))
        return (base if base.is_absolute() else Path.home() / ".local" / "share") / "lmaas"

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                message = (
                    f"{origin!r} is not an origin; write scheme, host and port only: https://chat.example.org"
                )
                raise ValueError(message)
        return origins

    @field_validator("models")
    @classmethod
    def _check_names(cls, models: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
        check_models(models)
        return models

    @field_validator("keys")
    @classmethod
    def _check_key_names(cls, keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
        check_key_names(keys)
        return keys

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        secrets = [key.key.get_secret_value() for key in self.keys]
        if self.api_key is not None:
            secrets.append(self.api_key.get_secret_value())
            if len(secrets[-1]) < MIN_KEY_CHARS:
                message = "api_key " + TOO_SHORT
                raise ValueError(message)
        if len(set(secrets)) < len(secrets):
            message = "two principals have the same key; give each one of its own"
            raise ValueError(message)
        if self.admin_key is not None and self.admin_key.get_secret_value() in secrets:
            message = "admin_key is also a caller's key, who would be an operator; make another"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_canary_prompts(self) -> Self:
        served = {name for model in self.models for name in (model.name, *model.aliases)}
        names = [prompt.name for prompt in self.canary_prompts]
        if len(set(names)) < len(names):
            message = "two canary_prompts have the same name; give each one of its own"
            raise ValueError(message)
        for prompt in self.canary_prompts:
            if prompt.model not in served:
                message = f"canary prompt {prompt.name!r} is for {prompt.model!r}, which is no model here"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_master(self) -> Self:
        if self.master_key is not None and self.master_key_file is not None:
            message = "master_key and master_key_file are both set; keep one of them"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_bodies(self) -> Self:
        if self.connections.max_bodies_bytes < self.max_body_bytes:
            message = (
                "connections.max_bodies_bytes is less than max_body_bytes, so the longest body never fits"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_admin(self) -> Self:
        if self.admin.port and self.admin.port == self.port:
            message = f"admin.port is {self.port}, as is port; give the admin API's own listener another one"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_exposure(self) -> Self:
        if self.admin_key is not None and len(self.admin_key.get_secret_value()) < MIN_KEY_CHARS:
            message = "admin_key " + TOO_SHORT
            raise ValueError(message)
        if self.lets_everybody_in and not is_loopback(self.host):
            message = (
                f"host {self.host} is reachable from other machines, and `open` lets everybody in; leave "
                "`open` out, so that callers need a key, or listen on 127.0.0.1"
            )
            raise ValueError(message)
        return self

    @property
    def lets_everybody_in(self) -> bool:
        """Whether callers need no key."""
        return self.open and self.api_key is None and not self.keys


def fixed_names() -> tuple[str, ...]:
    """Name the settings that cannot change while the gateway runs."""
    return tuple(name for name, field in Settings.model_fields.items() if field.json_schema_extra == FIXED)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
