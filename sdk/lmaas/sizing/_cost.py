"""What serving costs at the load that comes, idle hours and all, beside what a hosted model would."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from lmaas.evidence import Evidence, Grade
from lmaas.sizing._errors import SizingError
from lmaas.sizing._load import Load, replicas_needed

_HOURS_PER_DAY = 24
_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A usual request.

    Attributes:
        prompt_tokens: Of its prompt.
        output_tokens: Of its answer; 0 where that is a vector or a score.
        cached_share: Of the prompt's tokens, those that a prefix cache has, 0 to 1; as measured.
    """

    prompt_tokens: int
    output_tokens: int
    cached_share: float = 0.0

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.output_tokens < 0 or not 0 <= self.cached_share <= 1:
            raise SizingError(
                "a request has 1 token of prompt or more, 0 or more of answer, and a cached share of 0 to 1"
            )

    @property
    def useful_tokens(self) -> int:
        """Those that it was made for: of the answer, or of the prompt where the answer has none."""
        return self.output_tokens or self.prompt_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedPrice:
    """Price of a hosted model, in US dollars a million tokens; cached ones cost the same if not given."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None

    def __post_init__(self) -> None:
        prices = (self.input_usd, self.output_usd, self.cached_input_usd or 0.0)
        if not all(isfinite(price) and price >= 0 for price in prices):
            raise SizingError("hosted prices are numbers of US dollars, 0 or more")

    def usd_per_request(self, request: Request) -> float:
        """Return the price of one request: tokens x price, cached ones at their own price."""
        cached_usd = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        cached = request.prompt_tokens * request.cached_share
        fresh = request.prompt_tokens - cached
        spent = fresh * self.input_usd + cached * cached_usd + request.output_tokens * self.output_usd
        return spent / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What else self-hosting costs, in US dollars a day; each stands in the account, 0 or not.

    Attributes:
        egress_usd: Traffic out.
        operations_usd: People who run it.
        evaluation_usd: Checking that it still answers well.
        retry_share: Of requests, those that are made again, 0 to 1; they need replicas too.
    """

    egress_usd: float = 0.0
    operations_usd: float = 0.0
    evaluation_usd: float = 0.0
    retry_share: float = 0.0

    def __post_init__(self) -> None:
        money = (self.egress_usd, self.operations_usd, self.evaluation_usd)
        if not all(isfinite(usd) and usd >= 0 for usd in money) or not 0 <= self.retry_share <= 1:
            raise SizingError("extras are US dollars a day, 0 or more, and a share of retries from 0 to 1")

    @property
    def usd_per_day(self) -> float:
        """All but retries."""
        return self.egress_usd + self.operations_usd + self.evaluation_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Replicas to pay for.

    Attributes:
        gpus_per_replica: GPUs of one copy.
        usd_per_gpu_hour: Of one: your own price, or a claim.
        goodput: Requests a second of one copy that keep every limit; measured, at best.
        spares: Copies beyond what the busiest hour needs.
    """

    gpus_per_replica: int
    usd_per_gpu_hour: Evidence
    goodput: Evidence
    spares: int = 0

    def __post_init__(self) -> None:
        if self.goodput.value <= 0:
            raise SizingError("a plan needs a goodput above 0")
        if self.spares < 0 or self.gpus_per_replica < 1:
            raise SizingError("a plan needs 1 GPU a replica or more, and 0 spares or more")

    @property
    def grade(self) -> Grade:
        """The worse grade of price and goodput, which is that of every cost."""
        return max(self.goodput.grade, self.usd_per_gpu_hour.grade)

    def replicas(self, load: Load, extras: Extras) -> int:
        """Return the copies that the busiest hour needs, requests that are made again included.

        Source: `replicas_needed`.
        """
        return replicas_needed(load.peak * (1 + extras.retry_share), self.goodput.value, self.spares)

    def usd_per_day(self, replicas: int) -> float:
        """Return the price of so many copies, busy or not."""
        return replicas * self.gpus_per_replica * self.usd_per_gpu_hour.value * _HOURS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An account of one day.

    Attributes:
        load: Which day.
        plan: Whose copies.
        replicas: Copies that run.
        utilisation: Of what they could serve, what came; 0 to 1.
        lines: What is paid for, in US dollars a day; their sum is `usd_per_day`.
        usd_per_day: All.
        usd_per_request: For each request that was answered.
        usd_per_million_tokens: For a million useful tokens; see `Request`.
        useful_tokens: Which those are: of answers or, where these have none, of prompts.
        hosted_usd_per_day: The same requests at the hosted price; None without one.
        break_even_per_s: Requests a second, all day, from which these copies are cheaper than hosted; None
            without a hosted price.
        break_even_is_reachable: Whether the copies can serve so many.
    """

    load: Load
    plan: Plan
    replicas: int
    utilisation: float
    lines: tuple[tuple[str, float], ...]
    usd_per_day: float
    usd_per_request: float
    usd_per_million_tokens: float
    useful_tokens: Literal["output", "prompt"]
    hosted_usd_per_day: float | None
    break_even_per_s: float | None
    break_even_is_reachable: bool

    def evidence(self) -> Evidence:
        """Return the price of a request as evidence, as well known as its price and its goodput are."""
        return Evidence(
            metric="usd_per_call",
            value=self.usd_per_request,
            unit="usd",
            grade=self.plan.grade,
            source=f"lmaas.sizing: {self.replicas} copies at the {self.load.name} load",
        )


def costs(
    plan: Plan,
    load: Load,
    request: Request,
    *,
    hosted: HostedPrice | None = None,
    extras: Extras | None = None,
) -> tuple[Cost, ...]:
    """Account for three days, low, expected and peak, with the copies that the expected one's peak needs.

    self-hosted, a million useful tokens: 1e6 x replicas x GPUs x price / (3600 x tokens a second that came);
    break-even: what the copies cost a day / what a hosted request costs.

    Source: arXiv:2606.11690: a GPU's utilisation, not its price, decides what a token costs.
    """
    extras = extras or Extras()
    replicas = plan.replicas(load, extras)
    return tuple(_account(plan, day, request, hosted, extras, replicas) for day in load.low_expected_peak())


def _account(
    plan: Plan, load: Load, request: Request, hosted: HostedPrice | None, extras: Extras, replicas: int
) -> Cost:
    gpus_usd, requests = plan.usd_per_day(replicas), load.requests_per_day
    capacity = replicas * plan.goodput.value * 3600 * _HOURS_PER_DAY
    utilisation = min(requests * (1 + extras.retry_share) / capacity, 1.0)
    total = gpus_usd + extras.usd_per_day
    price = None if hosted is None else hosted.usd_per_request(request)
    break_even = total / price / (3600 * _HOURS_PER_DAY) if price else None
    return Cost(
        load=load,
        plan=plan,
        replicas=replicas,
        utilisation=utilisation,
        lines=_lines(gpus_usd, utilisation, extras),
        usd_per_day=total,
        usd_per_request=total / requests,
        usd_per_million_tokens=_MILLION * total / (requests * request.useful_tokens),
        useful_tokens="output" if request.output_tokens else "prompt",
        hosted_usd_per_day=None if price is None else price * requests,
        break_even_per_s=break_even,
        break_even_is_reachable=break_even is not None and break_even <= capacity / (3600 * _HOURS_PER_DAY),
    )


def _lines(gpus_usd: float, utilisation: float, extras: Extras) -> tuple[tuple[str, float], ...]:
    retries = utilisation * extras.retry_share / (1 + extras.retry_share)
    return (
        ("GPUs at work", gpus_usd * (utilisation - retries)),
        ("GPUs on retries", gpus_usd * retries),
        ("GPUs idle", gpus_usd * (1 - utilisation)),
        ("egress", extras.egress_usd),
        ("operations", extras.operations_usd),
        ("evaluation", extras.evaluation_usd),
    )
