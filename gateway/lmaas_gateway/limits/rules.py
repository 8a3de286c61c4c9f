"""Which limits a call is under."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from lmaas_gateway.limits.headlines import Headline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lmaas_gateway.call import Principal
    from lmaas_gateway.settings import QuotaSettings, Settings

SubjectKind = Literal["organization", "project", "key", "member", "model"]
Metric = Literal["requests", "tokens", "money", "calls_in_flight", "tokens_in_flight"]
Period = Literal["minute", "day", "month", "none"]

METRICS: tuple[Metric, ...] = get_args(Metric)
REQUESTS, TOKENS, MONEY, CALLS_IN_FLIGHT, TOKENS_IN_FLIGHT = range(len(METRICS))
NANOS_PER_DOLLAR = 10**9


class Limit(msgspec.Struct, frozen=True):
    """What one subject may use of one thing.

    Attributes:
        subject: The id of the organization, project, key or member, or the name of the model.
        amount: In calls, tokens or nano-dollars.
        period: How long a use counts; `none` where it counts until the call ends.
        models: A glob of the models whose calls count.
        organization: Whose calls count, of a limit on a model; empty for everybody's.
    """

    subject_kind: SubjectKind
    subject: str
    metric: Metric
    amount: int
    period: Period = "none"
    models: str = "*"
    organization: str = ""

    @property
    def name(self) -> str:
        """What tells its counter from others: all but the amount, so that a change of it forgets nothing."""
        return "|".join(
            (
                self.organization,
                self.subject_kind,
                self.subject,
                self.models,
                self.metric,
                self.period,
            )
        )

    def takes(self, model: str) -> bool:
        """Tell whether calls for `model` count."""
        return self.models == "*" or fnmatch.fnmatchcase(model, self.models)


@dataclass(slots=True, eq=False)
class Counter:
    """One limit, as the calls of one process count against it.

    Attributes:
        metric: Which of `METRICS`.
        amount: What it may come to.
        at: Where it is kept, in a table.
        turn: Which number of a stamp tells that it begins anew.
        headline: The headers that tell of it.
    """

    limit: Limit
    metric: int
    amount: int
    at: int = 0
    turn: int = 0
    headline: Headline = field(init=False)

    def __post_init__(self) -> None:
        self.headline = Headline(self.limit.metric, self.limit.amount, self.limit.period)


class Rules:
    """The limits of one principal's calls for one model.

    Attributes:
        counters: One for each limit; never empty.
        told: Those that callers are told of: one of requests and one of tokens, each with its like.
        has_tokens: Whether the tokens of a call matter at all.
        has_money: Whether its price does.
        quarter_tokens: A quarter of the lowest limit on tokens: the most that an unbounded call takes.
        counts_first: Whether prompts are counted before anything is taken, since bounds of them find no room.
    """

    __slots__ = ("counters", "counts_first", "has_money", "has_tokens", "quarter_tokens", "told")

    def __init__(self, counters: tuple[Counter, ...]) -> None:
        metrics = {counter.metric for counter in counters}
        self.counters = counters
        told = (tuple(one for one in counters if one.metric == metric) for metric in (REQUESTS, TOKENS))
        self.told = tuple((likes[0], likes[1:]) for likes in told if likes)
        self.has_money = MONEY in metrics
        self.has_tokens = not metrics.isdisjoint({TOKENS, MONEY, TOKENS_IN_FLIGHT})
        amounts = (counter.amount for counter in counters if counter.metric in {TOKENS, TOKENS_IN_FLIGHT})
        self.quarter_tokens = max(1, min(amounts, default=1 << 62) // 4)
        self.counts_first = False


class RuleBook:
    """All limits, by subject."""

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        self._by_subject: dict[tuple[str, str], list[Limit]] = {}
        self.replace(limits)

    def __bool__(self) -> bool:
        return bool(self._by_subject)

    def replace(self, limits: Iterable[Limit]) -> None:
        """Go by these limits from now on."""
        by_subject: dict[tuple[str, str], list[Limit]] = {}
        for limit in limits:
            by_subject.setdefault((limit.subject_kind, limit.subject), []).append(limit)
        self._by_subject = by_subject

    def find(self, principal: Principal, model: str) -> tuple[Limit, ...]:
        """List the limits of a principal's calls for a model; of two that count the same, the lower."""
        found: dict[str, Limit] = {}
        for subject in _subjects(principal, model):
            for limit in self._by_subject.get(subject, ()):
                if limit.organization not in {"", principal.organization} or not limit.takes(model):
                    continue
                other = found.get(limit.name)
                if other is None or limit.amount < other.amount:
                    found[limit.name] = limit
        return tuple(found.values())


def _subjects(principal: Principal, model: str) -> Sequence[tuple[str, str]]:
    return (
        ("organization", principal.organization),
        ("project", principal.project),
        ("member", principal.member),
        ("key", principal.key or principal.id),
        ("model", model),
    )


def limits_of(settings: Settings) -> Iterator[Limit]:
    """Read the limits of the configuration's keys and models."""
    for key in settings.keys:
        yield from _read("key", key.name, key.limits)
    for model in settings.models:
        yield from _read("model", model.name, model.limits)


def _read(kind: SubjectKind, subject: str, quotas: QuotaSettings) -> Iterator[Limit]:
    counted: tuple[tuple[Metric, Period, int | None], ...] = (
        ("requests", "minute", quotas.requests_per_minute),
        ("requests", "day", quotas.requests_per_day),
        ("tokens", "minute", quotas.tokens_per_minute),
        ("tokens", "day", quotas.tokens_per_day),
        ("calls_in_flight", "none", quotas.calls_in_flight),
        ("tokens_in_flight", "none", quotas.tokens_in_flight),
    )
    for metric, period, amount in counted:
        if amount is not None:
            yield Limit(kind, subject, metric, amount, period)
    if quotas.dollars_per_day is not None:
        yield Limit(kind, subject, "money", int(quotas.dollars_per_day * NANOS_PER_DOLLAR), "day")
    if quotas.dollars_per_month is not None:
        yield Limit(kind, subject, "money", int(quotas.dollars_per_month * NANOS_PER_DOLLAR), "month")
