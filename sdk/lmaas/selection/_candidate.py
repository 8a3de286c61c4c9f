"""What can be chosen: a model on a platform, hosted or on machines of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Protocol

from lmaas.errors import ConfigurationError
from lmaas.platforms import Catalogue, Offer, Platform, Sourced

_OF_MODELS_TOO: Final = ("tools", "json_schema")


class Fit(Protocol):
    """Whether a model fits the machines that a candidate means: what sizing found."""

    @property
    def fits(self) -> bool:
        """Whether it does."""
        ...

    @property
    def reason(self) -> str:
        """Why, in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Machines of one's own that serve a candidate.

    Attributes:
        usd_per_gpu_hour: What one accelerator costs an hour, or the machine where it has none.
        gpus: Accelerators of one replica.
        spares: Replicas beyond those that the peak needs.
        max_replicas: How many there can be, with the spares.
        engine_args: `vllm serve` arguments of a replica that is still to be launched.
    """

    usd_per_gpu_hour: float
    gpus: int = 1
    spares: int = 0
    max_replicas: int = 1
    engine_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        is_price = isfinite(self.usd_per_gpu_hour) and self.usd_per_gpu_hour >= 0
        if not is_price or self.gpus < 1 or self.spares < 0 or self.max_replicas < 1:
            raise ConfigurationError(
                "fleet: usd_per_gpu_hour and spares are not below 0, gpus and max_replicas are 1 or more"
            )
        if self.max_replicas <= self.spares:
            raise ConfigurationError(
                f"fleet: max_replicas is {self.max_replicas}, which leaves none for calls beside "
                f"{self.spares} spares; raise it, or lower spares"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What a candidate costs beside tokens or machines. 0 is allowed, and always shown.

    Attributes:
        ops_hours_per_month: People's time that it takes; None is not known, and counts as no ease.
        ops_usd_per_hour: What an hour of theirs costs.
        egress_usd_per_gb: Traffic out, for answers of four bytes a token.
        fixed_usd_per_month: Subscriptions, minimum fees, evaluations.
    """

    ops_hours_per_month: float | None = None
    ops_usd_per_hour: float = 0.0
    egress_usd_per_gb: float = 0.0
    fixed_usd_per_month: float = 0.0

    def __post_init__(self) -> None:
        given = (
            self.ops_hours_per_month or 0.0,
            self.ops_usd_per_hour,
            self.egress_usd_per_gb,
            self.fixed_usd_per_month,
        )
        if not all(isfinite(one) and one >= 0 for one in given):
            raise ConfigurationError("overheads: each is a number that is not below 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model on a platform.

    Attributes:
        name: What it is called in results; unique.
        platform: Where it is.
        offer: The model there.
        base_url: Where its calls go, if not where the platform says.
        api_key_env: The variable with its key, if not the one that the platform says.
        fleet: The machines, where it runs on one's own.
        fit: Whether the model fits them; None where nobody sized it.
        overheads: What it costs beside.
        attested: Further facts that rules may ask for, such as `soc2` or `encrypted_at_rest`.
    """

    name: str
    platform: Platform
    offer: Offer
    base_url: str | None = None
    api_key_env: str | None = None
    fleet: Fleet | None = None
    fit: Fit | None = None
    overheads: Overheads = Overheads()
    attested: Mapping[str, Sourced[bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, catalogue: Catalogue, platform: str, model: str, name: str | None = None) -> Candidate:
        """Return a model of the catalogue as a candidate, as bare as it is if the catalogue does not know it.

        Raises:
            ConfigurationError: there is no such platform.
        """
        offer = catalogue.offer(platform, model) or Offer(platform=platform, model=model)
        return cls(name=name or offer.id, platform=catalogue.platform(platform), offer=offer)

    @property
    def is_self_hosted(self) -> bool:
        """Whether it runs on machines of one's own."""
        return self.platform.is_self_hosted or self.fleet is not None

    def told_of(self, feature: str) -> dict[str, Sourced[bool] | None]:
        """Return who must have a feature, with what is known: the platform, and of some the model as well."""
        told = {"the platform": getattr(self.platform, feature)}
        return told | ({"the model": getattr(self.offer, feature)} if feature in _OF_MODELS_TOO else {})

    @property
    def url(self) -> str | None:
        """Where its calls go; None if nobody knows."""
        return self.base_url or (self.platform.base_url.value if self.platform.base_url else None)

    @property
    def key_variable(self) -> str | None:
        """The environment variable with its key; None if it needs none, or nobody knows."""
        return self.api_key_env or (self.platform.auth.value.env if self.platform.auth else None)
