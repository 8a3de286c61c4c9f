"""Every setting of the gateway, and the only reader of environment and configuration file.

Later sources win: defaults, then the YAML file, then `LMAAS_*` environment variables, then command-line
flags. The result is frozen; a setting that cannot work raises `SettingsError` with what to do about it.
A group's setting is written with two underscores: `LMAAS_TIMEOUTS__CONNECT_S=5`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.places import line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.config import JsonDict

ModelKind = Literal["chat", "completion", "embedding", "classify", "rerank"]
RoutingPolicy = Literal["prefix_aware", "least_tokens", "power_of_two", "consistent_hash", "round_robin"]

Priority = Literal["high", "normal", "low"]

DEFAULT_MAX_IN_FLIGHT = 256

OldEngines = Literal["refuse", "warn"]

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_MIN_KEY_CHARS = 16
_TOO_SHORT = f"is shorter than {_MIN_KEY_CHARS} characters; make one with: openssl rand -hex 24"
# Principals that are not in `keys`: the holder of `api_key`, and everybody where there is no key.
_TAKEN_NAMES = frozenset({"api-key", "anonymous"})
_PREFIX = "LMAAS_"
_MASK = "**********"
_SECRET_FLAG = re.compile("key|token|secret|password", re.IGNORECASE)
FIXED: JsonDict = {"is_fixed": True}
"""Marks a setting that cannot change while the gateway runs."""
# What `policy/parameters.py` refuses, and bounds beyond which it does.
_GUARDED_PARAMETERS = frozenset(
    {
        "chat_template",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "prompt_embeds",
        "lora_request",
        "lora_path",
        "logits_processors",
        "kv_transfer_params",
        "ec_transfer_params",
        "prompt_logprobs",
    }
)
# How pydantic names the branches of `replicas`, a number or a list, in the place of an error.
_UNION_TAGS = {"constrained-int", "tuple[ReplicaSettings, ...]"}


class ReplicaSettings(BaseModel):
    """A replica that already runs somewhere else."""

    model_config = _FROZEN

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
        default=None, ge=1, description="Calls that it works on at once, if not as its model says."
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


class CanarySettings(BaseModel):
    """A share of a model's calls that goes to another model."""

    model_config = _FROZEN

    model: str = Field(description="The `name` of the model that takes the share.")
    percent: float = Field(
        ge=0,
        le=100,
        description="How much of the calls, from 0 to 100; a session stays on its side, as does a principal.",
    )


class ModelSettings(BaseModel):
    """One public model: its name and the replicas that serve it."""

    model_config = _FROZEN

    name: str = Field(
        default="",
        max_length=256,
        description="The public name that callers send as `model`; default: `model`.",
    )
    model: str | None = Field(
        default=None,
        description="What launched replicas load: a catalogue name, a local folder or a hub id.",
    )
    kind: ModelKind | None = Field(
        default=None, description="Which routes it has; needed only where no catalogue entry tells."
    )
    replicas: Annotated[int, Field(ge=1, le=64)] | tuple[ReplicaSettings, ...] = Field(
        default=1, description="How many vLLM processes to launch here, or the list of those already running."
    )
    aliases: tuple[str, ...] = Field(default=(), description="Further names that callers may send.")
    fallbacks: tuple[str, ...] = Field(
        default=(),
        description="The `name`s of models that answer, in this order, where this one cannot serve a call "
        "before its first byte. A request that this one refuses is not tried elsewhere.",
    )
    canary: CanarySettings | None = Field(
        default=None, description="Another model that takes a share of the calls: `{model: …, percent: 5}`."
    )
    routing: RoutingPolicy = Field(
        default="prefix_aware",
        description="How one of several replicas is chosen: `prefix_aware` (it has read most of the prompt "
        "before and is not too busy), `least_tokens` (outstanding), `power_of_two` (choices), "
        "`consistent_hash` (by session) or `round_robin`.",
    )
    max_model_len: int | None = Field(
        default=None, ge=1, description="Context length in tokens (vLLM's `--max-model-len`)."
    )
    first_byte_s: float | None = Field(
        default=None, gt=0, description="Deadline of a reply's first byte; default: `timeouts.first_byte_s`."
    )
    dtype: str | None = Field(default=None, description="Weight precision (vLLM's `--dtype`).")
    max_in_flight: int = Field(
        default=DEFAULT_MAX_IN_FLIGHT,
        ge=1,
        description="Calls that one replica works on at once, further ones wait in the gateway's queue; "
        "best vLLM's `--max-num-seqs`. A launched replica gets an eighth less than "
        "`engine.max_num_queued_reqs` at most.",
    )
    max_in_flight_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Estimated tokens in flight, for each replica, from which on further calls wait.",
    )
    priority_scheduling: bool = Field(
        default=False,
        description="Its engines run with `--scheduling-policy priority`, so calls are sent on with their "
        "priority; launched replicas are started so.",
    )
    kv_cache_memory_bytes: int | None = Field(
        default=None, ge=1, description="Memory of the paged KV cache of each launched replica, in bytes."
    )
    engine_args: tuple[str, ...] = Field(
        default=(), description="Further `vllm serve` arguments, passed on as they are."
    )

    allowed_parameters: tuple[str, ...] = Field(
        default=(), description="Parameters that callers of this model may set besides: see `policy`."
    )
    cache: bool | None = Field(
        default=None, description="Keep replies of this model for equal calls; default: `cache.enabled`."
    )

    @field_validator("allowed_parameters")
    @classmethod
    def _check_parameters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _check_guarded(names)

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"name": data, "model": data}
        if isinstance(data, dict) and not data.get("name") and data.get("model"):
            return {**data, "name": data["model"]}
        return data

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if not self.name:
            message = "a model needs a `name`, or a `model` to be named after"
            raise ValueError(message)
        if self.model is None and self.is_launched:
            message = f"model {self.name!r} needs `model` (what to launch) or a list of `replicas` with urls"
            raise ValueError(message)
        if self.replicas == ():
            message = (
                f"model {self.name!r} has an empty list of replicas; give one url, or a number to launch"
            )
            raise ValueError(message)
        if not isinstance(self.replicas, int):
            _check_distinct(self.name, "url", [replica.url for replica in self.replicas])
            _check_distinct(self.name, "name", [replica.name for replica in self.replicas if replica.name])
        return self

    @property
    def is_launched(self) -> bool:
        """Whether the gateway starts this model's replicas itself."""
        return isinstance(self.replicas, int)

    def complete(self, replica: ReplicaSettings) -> ReplicaSettings:
        """Fill in what a replica leaves to its model."""
        missing = {
            name: getattr(self, name)
            for name in ("max_in_flight", "first_byte_s")
            if getattr(replica, name) is None
        }
        return replica.model_copy(update=missing) if missing else replica


class EngineSettings(BaseModel):
    """How `vllm serve` processes are launched and watched."""

    model_config = _FROZEN

    python: str | None = Field(
        default=None, description="Python interpreter that has vLLM; default: the one that runs the gateway."
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        description="Which build of vLLM the interpreter must have; `auto` takes the one it has.",
    )
    start_timeout_s: float = Field(
        default=600, gt=0, description="A replica that is not ready after this long is restarted."
    )
    shutdown_timeout_s: int = Field(
        default=30,
        ge=0,
        description="How long a stopping replica may finish its calls (`--shutdown-timeout`).",
    )
    max_restarts: int = Field(
        default=5,
        ge=0,
        description="Restarts in a row, without becoming ready, before a replica is given up.",
    )
    restart_backoff_s: float = Field(
        default=1.0, gt=0, description="Pause before the first restart; it doubles up to a minute."
    )
    max_num_queued_reqs: int = Field(
        default=1024,
        ge=1,
        description="Calls that one replica holds before it answers 503 (vLLM's `--max-num-queued-reqs`). "
        "The gateway sends fewer (`max_in_flight`), but for those that another replica lost.",
    )


class TimeoutSettings(BaseModel):
    """Deadlines of one call towards a replica, in seconds."""

    model_config = _FROZEN

    connect_s: float = Field(default=2.0, gt=0, description="Until the connection to a replica stands.")
    first_byte_s: float = Field(
        default=120.0, gt=0, description="Until the first byte of a reply: queueing and prefill."
    )
    idle_s: float = Field(default=60.0, gt=0, description="Between two pieces of a reply.")
    total_s: float = Field(default=1800.0, gt=0, description="For the whole call.")


class KeySettings(BaseModel):
    """A key of one principal, and what it may."""

    model_config = _FROZEN

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="The principal's name, as it stands in the access log.",
    )
    key: SecretStr = Field(description="What it sends as a bearer token; at least 16 characters.")
    weight: float = Field(
        default=1.0,
        ge=0.01,
        le=1000,
        description="Its part of a pool, relative to others', when calls wait.",
    )
    priority: Priority = Field(
        default="normal",
        description="Its class: when calls wait, `high` goes first and `low` last. "
        "A call may ask for a lower one.",
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < _MIN_KEY_CHARS:
            raise ValueError(_TOO_SHORT)
        return key


class QueueSettings(BaseModel):
    """The queue of each pool, in front of the engines' own."""

    model_config = _FROZEN

    max_queued: int = Field(
        default=1024, ge=0, description="Calls that may wait for one model; further ones get 503, or 429."
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="A call that has waited this long, or would have to, gets 503, or 429. Once calls have "
        "waited for longer than this without a break, a further one may have to wait a quarter of it only.",
    )
    reserve: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Part of a pool's places that is kept for keys with few calls in flight; "
        "it matters only where there is more than one key.",
    )


class IdempotencySettings(BaseModel):
    """What is kept of calls with an `Idempotency-Key`, so that a retry gets the reply and costs nothing."""

    model_config = _FROZEN

    enabled: bool = Field(
        default=True, description="Take notice of `Idempotency-Key`; if not, each try runs anew."
    )
    ttl_s: float = Field(default=86400, gt=0, description="How long a reply is kept for its key, in seconds.")
    max_bytes: int = Field(
        default=64 * 2**20,
        ge=2048,
        description="Memory, or space in `folder`, for kept replies. Beyond it those used longest ago go "
        "(in a folder the oldest), and a retry of theirs runs anew.",
    )
    max_entry_bytes: int = Field(
        default=2**20, ge=1024, description="Longer replies are not kept; a retry of theirs runs anew."
    )
    max_entries: int = Field(default=100_000, ge=1, description="How many replies are kept.")
    folder: Path | None = Field(
        default=None,
        description="Keep replies here, over restarts; with mode 700, since it holds what was generated. "
        "Default: in memory; with several workers, in a folder that they share until the gateway ends.",
    )


class CacheSettings(BaseModel):
    """What is kept for equal calls of the same principal, where a reply is computed and not drawn."""

    model_config = _FROZEN

    enabled: bool = Field(
        default=False,
        description="Keep embeddings, scores, tokens and completions at temperature 0, of all models that do "
        "not say otherwise.",
    )
    ttl_s: float = Field(default=3600, gt=0, description="How long a reply is kept, in seconds.")
    max_bytes: int = Field(
        default=64 * 2**20,
        ge=2048,
        description="Memory of each worker for kept replies; those used longest ago go first.",
    )
    max_entry_bytes: int = Field(default=2**20, ge=1024, description="Longer replies are not kept.")
    max_entries: int = Field(default=100_000, ge=1, description="How many replies each worker keeps.")
    max_wait_s: float = Field(
        default=120, gt=0, description="How long a call waits for an equal one that is under way."
    )


class RetrySettings(BaseModel):
    """When a call that failed before its first byte goes to another replica."""

    model_config = _FROZEN

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
        "replica may leave to be moved at once.",
    )


class EjectionSettings(BaseModel):
    """When a replica that passes its health checks but fails its calls is taken out of service."""

    model_config = _FROZEN

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


class PolicySettings(BaseModel):
    """What callers may ask of an engine that serves others too."""

    model_config = _FROZEN

    allowed_parameters: tuple[str, ...] = Field(
        default=(),
        description="Parameters of vLLM that callers may set although they can harm others: "
        + ", ".join(f"`{name}`" for name in sorted(_GUARDED_PARAMETERS))
        + " (without its bounds).",
    )
    max_n: int = Field(default=128, ge=1, description="Most choices of a call (`n`, `best_of`).")
    max_tokens: int = Field(
        default=2**20, ge=1, description="Most tokens that a call may ask for, whatever the field is called."
    )
    max_stop: int = Field(default=16, ge=0, description="Most entries of `stop`; vLLM itself takes 4.")
    max_logprobs: int = Field(default=20, ge=0, description="Most alternatives of each token.")
    max_prompt_logprobs: int = Field(
        default=1,
        ge=0,
        description="Most alternatives of each token of a prompt (`prompt_logprobs`, `echo`).",
    )
    max_prompt_logprobs_bytes: int = Field(
        default=8192, ge=0, description="Longest prompt, in bytes of JSON, whose tokens' logprobs are given."
    )

    @field_validator("allowed_parameters", mode="before")
    @classmethod
    def _split_parameters(cls, value: Any) -> Any:
        return _split_names(value)

    @field_validator("allowed_parameters")
    @classmethod
    def _check_parameters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _check_guarded(names)


class MediaSettings(BaseModel):
    """Images, audio and video in calls; no engine is ever given a URL to fetch."""

    model_config = _FROZEN

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
    timeout_s: float = Field(default=5.0, gt=0, description="For one URL, its redirects included.")
    max_items: int = Field(default=16, ge=0, description="Most media parts of a call.")
    max_bytes: int = Field(default=10 * 2**20, ge=1, description="Largest media part.")
    max_total_bytes: int = Field(
        default=32 * 2**20, ge=1, description="Most that is fetched for one call, all together."
    )

    @field_validator("allowed_domains", mode="before")
    @classmethod
    def _split_domains(cls, value: Any) -> Any:
        return _split_names(value)

    @field_validator("allowed_domains")
    @classmethod
    def _check_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            if not domain.isascii() or domain != domain.lower() or not set("/:@* ").isdisjoint(domain):
                message = f"{domain!r} is no domain; write example.org, or .example.org for all below it"
                raise ValueError(message)
        return domains


class ConnectionSettings(BaseModel):
    """How many client connections there may be, and how long and how much each may take."""

    model_config = _FROZEN

    max_connections: int = Field(
        default=16384, ge=1, description="Open client connections of one process; further ones get 503."
    )
    max_connections_per_address: int = Field(
        default=1024,
        ge=1,
        description="Open connections from one address (of IPv6: one /64 network); further ones get 503.",
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
        return _split_names(value)

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


class Settings(BaseModel):
    """All settings of one gateway."""

    model_config = _FROZEN

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
        default=None, description="The key that callers must send as a bearer token; none means open."
    )
    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Keys of several principals, beside `api_key` or in its place."
    )
    allow_unauthenticated: bool = Field(
        default=False, description="Listen on a non-loopback address although no key is set."
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
    access_log: bool = Field(
        default=True, description="Write one JSON line per call to standard output.", json_schema_extra=FIXED
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least severity of what is logged besides the access log.",
        json_schema_extra=FIXED,
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
    engine: EngineSettings = Field(
        default=EngineSettings(), description="Launched engines.", json_schema_extra=FIXED
    )
    idempotency: IdempotencySettings = Field(
        default=IdempotencySettings(), description="Replies kept for retries.", json_schema_extra=FIXED
    )
    cache: CacheSettings = Field(default=CacheSettings(), description="Replies kept for equal calls.")
    timeouts: TimeoutSettings = Field(default=TimeoutSettings(), description="Deadlines towards replicas.")
    queue: QueueSettings = Field(default=QueueSettings(), description="The queue of each pool.")
    retries: RetrySettings = Field(default=RetrySettings(), description="Trying other replicas.")
    ejection: EjectionSettings = Field(default=EjectionSettings(), description="Leaving bad replicas out.")
    policy: PolicySettings = Field(default=PolicySettings(), description="Parameters of callers.")
    media: MediaSettings = Field(default=MediaSettings(), description="Media in calls.")
    connections: ConnectionSettings = Field(
        default=ConnectionSettings(), description="Client connections: caps and deadlines."
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        return _split_names(value)

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
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                message = f"two models are called {name!r}; give each a `name` of its own"
                raise ValueError(message)
        _check_aliases(models)
        _check_stand_ins(models)
        return models

    @field_validator("keys")
    @classmethod
    def _check_key_names(cls, keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
        names = [key.name for key in keys]
        for name in names:
            if names.count(name) > 1 or name in _TAKEN_NAMES:
                message = f"the name {name!r} is taken; give each key a `name` of its own"
                raise ValueError(message)
        return keys

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        secrets = [key.key.get_secret_value() for key in self.keys]
        if self.api_key is not None:
            secrets.append(self.api_key.get_secret_value())
            if len(secrets[-1]) < _MIN_KEY_CHARS:
                message = "api_key " + _TOO_SHORT
                raise ValueError(message)
        if len(set(secrets)) < len(secrets):
            message = "two principals have the same key; give each one of its own"
            raise ValueError(message)
        if self.admin_key is not None and self.admin_key.get_secret_value() in secrets:
            message = "admin_key is also a caller's key, who would be an operator; make another"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_exposure(self) -> Self:
        if self.admin_key is not None and len(self.admin_key.get_secret_value()) < _MIN_KEY_CHARS:
            message = "admin_key " + _TOO_SHORT
            raise ValueError(message)
        has_key = self.api_key is not None or self.keys
        if not has_key and not self.allow_unauthenticated and not is_loopback(self.host):
            message = (
                f"host {self.host} is reachable from other machines and no key is set; set LMAAS_API_KEY, "
                "or say LMAAS_ALLOW_UNAUTHENTICATED=true if everybody on that network may use the models"
            )
            raise ValueError(message)
        return self


def fixed_names() -> tuple[str, ...]:
    """Name the settings that cannot change while the gateway runs."""
    return tuple(name for name, field in Settings.model_fields.items() if field.json_schema_extra == FIXED)


def _check_distinct(model: str, field: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            message = f"model {model!r} has two replicas with the {field} {value!r}; list it once"
            raise ValueError(message)


def _check_aliases(models: tuple[ModelSettings, ...]) -> None:
    taken = {model.name for model in models}
    for model in models:
        for alias in model.aliases:
            if not alias or alias in taken:
                message = f"model {model.name!r} has the alias {alias!r}, which is taken; give it another one"
                raise ValueError(message)
            taken.add(alias)


def _check_stand_ins(models: tuple[ModelSettings, ...]) -> None:
    """Refuse fallbacks and canaries that do not exist, and chains that come back to where they began."""
    chains = {model.name: model.fallbacks for model in models}
    for model in models:
        wanted = [("fallbacks", name) for name in model.fallbacks]
        if model.canary is not None:
            wanted.append(("canary", model.canary.model))
        for setting, name in wanted:
            if name not in chains or name == model.name:
                message = f"{setting} of model {model.name!r} name {name!r}; name another model of the list"
                raise ValueError(message)
    try:
        TopologicalSorter(chains).prepare()
    except CycleError as error:
        message = f"fallbacks go round in a circle: {' → '.join(error.args[1])}; take one of them out"
        raise ValueError(message) from None


def check_kinds(models: Iterable[ModelSettings]) -> None:
    """Check, once all kinds are known, that no model is stood in for by one of another kind.

    Raises:
        SettingsError: one is.
    """
    kinds = {model.name: model.kind or "chat" for model in models}
    for model in models:
        names = model.fallbacks if model.canary is None else (*model.fallbacks, model.canary.model)
        for name in names:
            if kinds[name] != kinds[model.name]:
                raise SettingsError(
                    f"model {name!r} is of kind {kinds[name]} and cannot stand in for {model.name!r}, "
                    f"which is of kind {kinds[model.name]}"
                )


def _check_guarded(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in _GUARDED_PARAMETERS:
            guarded = ", ".join(sorted(_GUARDED_PARAMETERS))
            message = f"{name!r} needs no permission; those that do are {guarded}"
            raise ValueError(message)
    return names


def _split_names(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


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


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(
    config: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Read all sources into one frozen value.

    Args:
        config: The YAML file; default: the one that `LMAAS_CONFIG` names.
        flags: Settings given on the command line, which win.
        environ: The environment.

    Raises:
        SettingsError: the file cannot be read, or a setting cannot work.
    """
    if config is None and environ.get("LMAAS_CONFIG"):
        config = Path(environ["LMAAS_CONFIG"])
    text = "" if config is None else _read_text(config)
    values = {} if config is None else _parse(config, text)
    values = _overlay(values, _read_environ(environ))
    values = _overlay(values, flags or {})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(explain(error, config, text)) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"the configuration file {path} is not YAML: {error}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1},"
        problem = ": ".join(filter(None, (error.context, error.problem)))
        raise SettingsError(f"the configuration file {path}{line} is not YAML: {problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"the configuration file {path} is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"the configuration file {path} must hold settings by name, such as `port: 8000`")
    return values


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """Take the variables that name a setting. `LMAAS_BASE_URL` and the like are others'."""
    values: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        variable = _PREFIX + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            group = {
                key: text
                for key in field.annotation.model_fields
                if (text := environ.get(f"{variable}__{key.upper()}", ""))
            }
            values |= {name: group} if group else {}
        elif text := environ.get(variable, ""):
            values[name] = _read_list(variable, text) if name in {"models", "keys"} else text
    return values


def _read_list(variable: str, text: str) -> Any:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(f"{variable} is not a JSON list, nor names with commas between them") from None


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def mask(settings: Settings) -> dict[str, Any]:
    """Write all settings for people to see: secrets, and engine arguments that may be some, are masked."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    for model in shown["models"]:
        arguments = model["engine_args"]
        for index, argument in enumerate(arguments):
            name, has_value, _ = argument.partition("=")
            if _SECRET_FLAG.search(name) and name.startswith("-"):
                if has_value:
                    arguments[index] = f"{name}={_MASK}"
                elif index + 1 < len(arguments):
                    arguments[index + 1] = _MASK
    return shown


def explain(error: ValidationError, config: Path | None = None, text: str = "") -> str:
    """Say of each setting that cannot work which it is, where it stands in the file, and why.

    A value that may be secret is not shown.

    Args:
        error: What pydantic found.
        config: The file that was read.
        text: What it held.
    """
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        parts = [part for part in problem["loc"] if part not in _UNION_TAGS]
        line = None if config is None else line_of(text, parts)
        where = "" if line is None else f"{config}, line {line}: "
        place = ".".join(map(str, parts))
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "no such setting; docs/configuration.md lists them all"
        lines.append(where + (f"{place}: {reason}" if place else reason))
    return "; ".join(dict.fromkeys(lines))
