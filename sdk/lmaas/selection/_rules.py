"""Hard rules: what a candidate must have. Each passes, fails with the reason, or is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, Literal, TypeAlias

from lmaas.errors import ConfigurationError
from lmaas.platforms import Sourced
from lmaas.platforms._sourced import first_known
from lmaas.selection._candidate import Candidate
from lmaas.selection._metrics import METRICS
from lmaas.selection._row import Limit, Row
from lmaas.selection._uncertainty import interval_of

Feature: TypeAlias = Literal["tools", "json_schema", "logprobs", "stream_usage", "prompt_cache", "batches"]


class Status(StrEnum):
    """What came of a rule; only `PASS` passes."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One rule held against one candidate.

    Attributes:
        rule: The rule in words.
        status: What came of it.
        reason: What the candidate has; of an unknown one, what to ask or verify.
        metric: Of a limit, its metric; "" otherwise.
    """

    rule: str
    status: Status
    reason: str
    metric: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a candidate must have. What is left out is not asked for.

    Attributes:
        regions: It can keep calls in one of these.
        max_retention_days: Prompts are kept no longer by default; where 0 is asked, need not be kept.
        no_training: Nothing is trained on prompts.
        licences: The weights' licence is one of these.
        min_context_tokens: Prompt and answer may have as many.
        modalities: A prompt may hold all of these.
        needs: All of these work.
        routes: All of these routes of the OpenAI API are there.
        self_hosted: It runs on machines of one's own, with no way out.
        max_usd_per_month: It costs no more at the expected load.
        attested: The candidate is known to have all of these, such as `soc2`.
        only: One of these platforms.
        never: None of these.
    """

    regions: tuple[str, ...] = ()
    max_retention_days: int | None = None
    no_training: bool = False
    licences: tuple[str, ...] = ()
    min_context_tokens: int | None = None
    modalities: tuple[str, ...] = ()
    needs: tuple[Feature, ...] = ()
    routes: tuple[str, ...] = ()
    self_hosted: bool = False
    max_usd_per_month: float | None = None
    attested: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_retention_days", "min_context_tokens", "max_usd_per_month"):
            bound = getattr(self, name)
            if bound is not None and not (isfinite(bound) and bound >= 0):
                raise ConfigurationError(f"rules: {name} is {bound:g}; give a number that is not below 0")


def check_facts(rules: Rules, candidate: Candidate) -> tuple[Check, ...]:
    """Hold all rules that the catalogue can answer against a candidate."""
    return tuple(_facts(rules, candidate))


def check_limits(row: Row) -> tuple[Check, ...]:
    """Hold figures against their limits: the whole interval must keep one to pass, and break it to fail."""
    return tuple(_limit(limit, row) for limit in row.limits)


def _limit(limit: Limit, row: Row) -> Check:
    metric, evidence = METRICS[limit.metric], row.cells.get(limit.metric)
    if evidence is None:
        return Check(limit.text, Status.UNKNOWN, f"{metric.label} is not known: measure it", limit.metric)
    interval = interval_of(evidence)
    ends = (metric.keeps(interval.low, limit.bound), metric.keeps(interval.high, limit.bound))
    said = (
        f"{metric.format(evidence.value)} ({metric.format(interval.low)} to {metric.format(interval.high)}, "
        f"grade {evidence.grade})"
    )
    if all(ends):
        return Check(limit.text, Status.PASS, said, limit.metric)
    if any(ends):
        return Check(limit.text, Status.UNKNOWN, f"{said} is too close to tell: measure more", limit.metric)
    if (best := row.at_best.get(limit.metric)) is not None and metric.keeps(best, limit.bound):
        said = f"{metric.format(best)} to {metric.format(evidence.value)}, by what is not known: measure it"
        return Check(limit.text, Status.UNKNOWN, said, limit.metric)
    return Check(limit.text, Status.FAIL, said, limit.metric)


def _facts(rules: Rules, candidate: Candidate) -> Iterator[Check]:
    yield from _listed(rules, candidate)
    yield from _place(rules, candidate)
    yield from _model(rules, candidate)
    for feature in rules.needs:
        yield _feature(feature, candidate)
    for name in rules.attested:
        yield _sourced(name, candidate.attested.get(name), bool)


def _place(rules: Rules, candidate: Candidate) -> Iterator[Check]:
    platform = candidate.platform
    if rules.self_hosted:
        yield _plain("runs on own machines", candidate.is_self_hosted, "hosted by others")
    if rules.regions:
        yield _sourced("calls stay in " + _or(rules.regions), platform.regions, _any_of(rules.regions))
    if rules.max_retention_days is not None:
        yield _retention(rules.max_retention_days, candidate)
    if rules.no_training:
        yield _training(candidate)
    if rules.routes:
        yield _sourced("routes " + _and(rules.routes), platform.routes, set(rules.routes).issubset)


def _model(rules: Rules, candidate: Candidate) -> Iterator[Check]:
    offer = candidate.offer
    if rules.licences:
        yield _sourced("licence " + _or(rules.licences), offer.licence, lambda own: own in rules.licences)
    if (least := rules.min_context_tokens) is not None:
        yield _sourced(f"context of {least:,} tokens", offer.context_tokens, lambda own: own >= least)
    if rules.modalities:
        wanted = set(rules.modalities)
        yield _sourced("prompts of " + _and(rules.modalities), offer.input_modalities, wanted.issubset)


def _listed(rules: Rules, candidate: Candidate) -> Iterator[Check]:
    name = candidate.platform.id
    if rules.only:
        yield _plain("platform " + _or(rules.only), name in rules.only, name)
    if rules.never:
        yield _plain("platform not " + _or(rules.never), name not in rules.never, name)
    if candidate.fit is not None:
        status = Status.PASS if candidate.fit.fits else Status.FAIL
        yield Check("fits the machines", status, candidate.fit.reason)


def _retention(days: int, candidate: Candidate) -> Check:
    rule = f"keeps prompts for {days} days at most" if days else "keeps no prompts"
    if candidate.is_self_hosted:
        return Check(rule, Status.PASS, "on own machines")
    known = candidate.platform.retention
    if known is not None and days == 0 and known.value.zero_retention and known.value.days != 0:
        return Check(rule, Status.PASS, f"if zero retention is asked for; {known.value.note or known.source}")
    return _sourced(rule, _part(known, "days"), lambda own: own <= days)


def _training(candidate: Candidate) -> Check:
    rule = "trains nothing on prompts"
    if candidate.is_self_hosted:
        return Check(rule, Status.PASS, "on own machines")
    return _sourced(rule, _part(candidate.platform.retention, "trains_on_data"), lambda trains: not trains)


def _part(known: Sourced[Any] | None, name: str) -> Sourced[Any] | None:
    """Return one field of a fact, with what each source says of it; None where none does."""
    if known is None:
        return None
    told = [(getattr(one.value, name), one) for one in (known, *known.others)]
    facts = [Sourced(value, one.source, one.as_of) for value, one in told if value is not None]
    return first_known(*facts)


def _feature(feature: str, candidate: Candidate) -> Check:
    """A feature must work on the platform, and of some also with the model: both must be known to have it."""
    told = candidate.told_of(feature)
    checks = [_sourced(feature, fact, bool, of=who if len(told) > 1 else "") for who, fact in told.items()]
    worst_first = (Status.FAIL, Status.UNKNOWN, Status.PASS)
    return min(checks, key=lambda check: worst_first.index(check.status))


def _sourced(rule: str, fact: Sourced[Any] | None, passes: Callable[[Any], bool], *, of: str = "") -> Check:
    if fact is None:
        about = f" of {of}" if of else ""
        return Check(rule, Status.UNKNOWN, f"nobody told{about}: ask the platform, or verify it yourself")
    disputed = [other for other in fact.conflicts if passes(other.value) != passes(fact.value)]
    if passes(fact.value) and disputed:
        said = [f"{one.source} says {_say(one.value)}" for one in (fact, disputed[0])]
        return Check(rule, Status.UNKNOWN, f"{', '.join(said)}: verify")
    status = Status.PASS if passes(fact.value) else Status.FAIL
    return Check(rule, status, f"{_say(fact.value)} ({fact.source})")


def _plain(rule: str, passes: bool, otherwise: str) -> Check:  # noqa: FBT001 - what came of it
    return Check(rule, Status.PASS if passes else Status.FAIL, "yes" if passes else otherwise)


def _any_of(wanted: Sequence[str]) -> Callable[[Iterable[str]], bool]:
    lowered = {name.lower() for name in wanted}
    return lambda own: any(name.lower() in lowered for name in own)


def _say(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
