"""What a candidate costs a month at low, expected and peak load, line by line; lines of 0 are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lmaas._cost import Price
from lmaas._options import DEFAULT_MAX_RETRIES
from lmaas.evidence import Evidence, Grade
from lmaas.measuring import Workload
from lmaas.selection._candidate import Candidate, Fleet, Overheads
from lmaas.selection._inputs import Inputs
from lmaas.selection._uncertainty import interval_of
from lmaas.sizing import replicas_needed

LINES: Final = (
    "prompt tokens",
    "cached prompt tokens",
    "answer tokens",
    "retries",
    "machines, busy",
    "machines, idle",
    "egress",
    "people",
    "fixed",
)
_HOURS_OF_A_MONTH: Final = 730
_SECONDS_OF_A_MONTH: Final = _HOURS_OF_A_MONTH * 3600
_BYTES_OF_A_TOKEN: Final = 4
_QUANTILES: Final = 20
_ATTEMPTS: Final = 1 + DEFAULT_MAX_RETRIES
_LEAST_GOODPUT: Final = 0.001
"""Of the measured one: what one that may be nothing is taken for, since no number of replicas would do."""


@dataclass(frozen=True, slots=True)
class Bill:
    """A month at one arrival rate.

    Attributes:
        load: "low", "expected" or "peak": the rate of the quietest hour, of the mean, of the busiest hour.
        calls_per_s: The rate.
        lines_usd: Money by line, each line of `LINES`.
    """

    load: str
    calls_per_s: float
    lines_usd: Mapping[str, float]

    @property
    def total_usd(self) -> float:
        """The sum of all lines."""
        return sum(self.lines_usd.values())


@dataclass(frozen=True, slots=True)
class Spending:
    """What a candidate costs.

    Attributes:
        bills: At low, expected and peak load; () if a price, a rate or a goodput is missing.
        call_evidence: `usd_per_call`, tokens of the mean call, no retries; None where machines are paid.
        evidence: `usd_per_month` at the expected load, with what it rests on; None without bills.
        at_best_usd: What the month would cost if no call failed, where nobody knows how many do; else None.
        missing: What is not known, in words.
        assumes: What was taken for granted, in words.
    """

    bills: tuple[Bill, ...] = ()
    call_evidence: Evidence | None = None
    evidence: Evidence | None = None
    at_best_usd: float | None = None
    missing: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()

    def bill(self, load: str) -> Bill | None:
        """Return the bill of one load."""
        return next((bill for bill in self.bills if bill.load == load), None)


def spending(candidate: Candidate, workload: Workload, inputs: Inputs) -> Spending:
    """Return what `candidate` costs for `workload`, given what is known of its errors and its goodput.

    Source: `_hosted_lines` and `_machine_lines`.
    """
    rate, overheads = workload.calls_per_s, candidate.overheads
    if rate is None:
        return Spending(missing=("the workload's calls_per_s",))
    if candidate.is_self_hosted and overheads.ops_usd_per_hour and overheads.ops_hours_per_month is None:
        return Spending(missing=("overheads.ops_hours_per_month, whose hours have a price",))
    loads = {
        "low": workload.low_calls_per_s,
        "expected": rate,
        "peak": workload.peak_calls_per_s,
    }
    known = {load: per_s for load, per_s in loads.items() if per_s is not None}
    if candidate.fleet is not None:
        return _own(candidate, candidate.fleet, workload, known, inputs.goodput_per_s)
    return _hosted(candidate, workload, known, inputs)


def _hosted(candidate: Candidate, workload: Workload, loads: Mapping[str, float], inputs: Inputs) -> Spending:
    price = candidate.offer.price
    if price is None or price.currency != "USD":
        return Spending(missing=("a price in US dollars",))
    prices = [price, *(other for other in candidate.offer.other_prices if other.currency == "USD")]
    fact = candidate.platform.prompt_cache
    caches = None if fact is None else fact.value
    lines = [_hosted_lines(price, workload, caches, inputs.error_rate) for price in prices]

    def month(load: str, per_call_usd: Mapping[str, float]) -> Bill:
        calls = loads[load] * _SECONDS_OF_A_MONTH
        money = {line: usd * calls for line, usd in per_call_usd.items()}
        return _bill(load, loads[load], money, candidate.overheads, workload)

    totals = [month("expected", per_call).total_usd for per_call in lines]
    bills = tuple(month(load, lines[0]) for load in loads)
    evidence = Evidence(
        metric="usd_per_month",
        value=totals[0],
        # Catalogues that disagree: the truth may be any of them.
        low=min(totals) if len(totals) > 1 else None,
        high=max(totals) if len(totals) > 1 else None,
        unit="usd",
        grade=Grade.C,
        source=price.source,
        as_of=price.as_of,
    )
    at_best: float | None = None
    assumes: tuple[str, ...] = ()
    if not inputs.is_error_rate_known:
        at_best = month("expected", lines[0] | {"retries": 0.0}).total_usd
        assumes = (f"each call is sent and paid {_ATTEMPTS} times: failures are not known",)
    per_call = [sum(each.values()) - each["retries"] for each in lines]
    ends = (min(per_call), max(per_call)) if len(per_call) > 1 else (None, None)
    call_evidence = replace(evidence, metric="usd_per_call", value=per_call[0], low=ends[0], high=ends[1])
    return Spending(bills, call_evidence, evidence, at_best, assumes=assumes)


def _hosted_lines(
    price: Price,
    workload: Workload,
    caches: bool | None,  # noqa: FBT001 - what is known of the platform
    error_rate: float,
) -> dict[str, float]:
    """Return money for the mean call, by line.

    Source: tokens times price; a share e of failures, each made again and paid for, costs e + e^2 more: the
    geometric series, which ends with the client's second retry.
    """
    lines = _tokens_usd(price, workload, caches)
    again = sum(error_rate**attempt for attempt in range(1, _ATTEMPTS))
    return lines | {"retries": sum(lines.values()) * again}


def _tokens_usd(
    price: Price,
    workload: Workload,
    caches: bool | None,  # noqa: FBT001 - likewise
) -> dict[str, float]:
    """Return the price of the mean call's tokens.

    A price without tiers is linear, so the mean length is enough; with tiers the mean is taken over twenty
    quantiles of the prompts' lengths. The common prefix is found in the cache of a platform that is known to
    have one; where nobody knows, only if that would cost more.
    """
    prompts = [workload.prompt_tokens.mean]
    if price.tiers:
        prompts = [workload.prompt_tokens.quantile((i + 0.5) / _QUANTILES) for i in range(_QUANTILES)]
    lines = dict.fromkeys(("prompt tokens", "cached prompt tokens", "answer tokens"), 0.0)
    for prompt in prompts:
        rates = price.at(round(prompt))
        cached_rate = (
            rates.input_per_million if rates.cached_per_million is None else rates.cached_per_million
        )
        is_cached = cached_rate > rates.input_per_million if caches is None else caches
        cached = prompt * workload.shared_prefix_share if is_cached else 0.0
        share = 1e-6 / len(prompts)
        lines["prompt tokens"] += (prompt - cached) * float(rates.input_per_million) * share
        lines["cached prompt tokens"] += cached * float(cached_rate) * share
        lines["answer tokens"] += workload.output_tokens.mean * float(rates.output_per_million) * share
    return lines


def _own(
    candidate: Candidate,
    fleet: Fleet,
    workload: Workload,
    loads: Mapping[str, float],
    goodput: Evidence | None,
) -> Spending:
    if goodput is None or goodput.value <= 0:
        return Spending(missing=("goodput_per_s of one replica",))

    def month(load: str, goodput_per_s: float) -> Bill:
        count = replicas_needed(loads["peak"], goodput_per_s, fleet.spares)
        lines = _machine_lines(fleet, count, loads[load], goodput_per_s)
        return _bill(load, loads[load], lines, candidate.overheads, workload)

    # An end that nobody stated, or that is 0, is no reason to be sure of the money.
    within = interval_of(goodput)
    low, high = goodput.low or within.low, goodput.high or within.high
    ends = (max(low, goodput.value * _LEAST_GOODPUT), high)
    totals = [month("expected", each).total_usd for each in (goodput.value, *ends)]
    evidence = Evidence(
        metric="usd_per_month",
        value=totals[0],
        low=min(totals),
        high=max(totals),
        unit="usd",
        grade=goodput.grade,
        source=f"replicas for the peak, by goodput: {goodput.source}",
        as_of=goodput.as_of,
    )
    count = replicas_needed(loads["peak"], goodput.value, fleet.spares)
    bills = tuple(month(load, goodput.value) for load in loads)
    return Spending(bills, None, evidence, assumes=(f"{count} replicas, paid all month",))


def _machine_lines(fleet: Fleet, count: int, rate: float, goodput_per_s: float) -> dict[str, float]:
    """Return a month's money for machines, by whether calls needed them.

    Source: Little's law: calls of `rate` keep rate / goodput replicas busy.
    """
    replica_usd = fleet.gpus * fleet.usd_per_gpu_hour * _HOURS_OF_A_MONTH
    paid = count * replica_usd
    busy = min(replica_usd * rate / goodput_per_s, paid)
    return {"machines, busy": busy, "machines, idle": paid - busy}


def _bill(
    load: str, rate: float, money: Mapping[str, float], overheads: Overheads, workload: Workload
) -> Bill:
    lines = dict.fromkeys(LINES, 0.0) | dict(money)
    gigabytes = rate * _SECONDS_OF_A_MONTH * workload.output_tokens.mean * _BYTES_OF_A_TOKEN / 1e9
    lines["egress"] = gigabytes * overheads.egress_usd_per_gb
    lines["people"] = (overheads.ops_hours_per_month or 0.0) * overheads.ops_usd_per_hour
    lines["fixed"] = overheads.fixed_usd_per_month
    return Bill(load, rate, lines)
