"""A public model: what serves it, and what stands in for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from lmaas_gateway.settings.fields import FROZEN
from lmaas_gateway.settings.objectives import ObjectiveSettings
from lmaas_gateway.settings.policy import check_guarded
from lmaas_gateway.settings.prices import PriceSettings
from lmaas_gateway.settings.quotas import QuotaSettings
from lmaas_gateway.settings.replicas import ReplicaSettings

ModelKind = Literal["chat", "completion", "embedding", "classify", "rerank"]
RoutingPolicy = Literal["prefix_aware", "least_tokens", "power_of_two", "consistent_hash", "round_robin"]

DEFAULT_MAX_IN_FLIGHT = 256


class CanarySettings(BaseModel):
    """A share of a model's calls that goes to another model."""

    model_config = FROZEN

    model: str = Field(description="The `name` of the model that takes the share.")
    percent: float = Field(
        ge=0,
        le=100,
        description="How much of the calls, from 0 to 100; a session stays on its side, as does a tenant.",
    )


class ModelSettings(BaseModel):
    """One public model: its name and the replicas that serve it."""

    model_config = FROZEN

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
    replicas: Annotated[int, Field(ge=0, le=64)] | tuple[ReplicaSettings, ...] = Field(
        default=1,
        description="How many vLLM processes to launch here, or the list of those already running; with 0 "
        "the model is stopped until an operator starts it.",
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
        description="Sequences that one replica works on at once, further calls wait in the gateway's queue; "
        "best vLLM's `--max-num-seqs`. A call makes one, or `n` for each prompt, or one for each input. "
        "A launched replica gets an eighth less than "
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
    cache_salt: bool = Field(
        default=True,
        description="Its engines take vLLM's `cache_salt`, by which no tenant can find out from an answer's "
        "time what another has asked; `false` for servers that refuse it and keep nothing of a prompt.",
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
    price: PriceSettings | None = Field(
        default=None,
        description="What its calls cost: `{input_per_million: 0.15, output_per_million: 0.60}`, or "
        "`{gpu_second: 0.0005}`, or both. Without it the ledger says that the cost is not known.",
    )
    cache: bool | None = Field(
        default=None, description="Keep replies of this model for equal calls; default: `cache.enabled`."
    )

    limits: QuotaSettings = Field(
        default=QuotaSettings(), description="What all callers of this model together may use."
    )

    slo: ObjectiveSettings = Field(
        default=ObjectiveSettings(), description="What it promises; see docs/alerts.md."
    )

    @field_validator("allowed_parameters")
    @classmethod
    def _check_parameters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return check_guarded(names)

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


def _check_distinct(model: str, field: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            message = f"model {model!r} has two replicas with the {field} {value!r}; list it once"
            raise ValueError(message)
