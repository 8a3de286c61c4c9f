"""A choice as a file: what `lmaas choose FILE` reads. The schema is closed; errors name the line.

task: {kind: chat, minimum_quality: 0.8}
workload: workload.yaml                     # or what such a file says; its `slo` are the limits
rules: {regions: [eu], needs: [tools], max_usd_per_month: 500}
preferences: {weights: {performance: 3, scalability: 1, ease of use: 1, cost: 2}}
catalogue: overrides.yaml                   # or what such a file says
candidates:
  - {platform: groq, model: llama-3.1-8b-instant}
evidence: [bench.json]                      # reports of `lmaas bench` and the like
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from lmaas.errors import ConfigurationError
from lmaas.evidence import Evidence
from lmaas.measuring import Workload
from lmaas.measuring._workload_file import workload_of
from lmaas.platforms import Catalogue, Offer, Platform, Price, Sourced
from lmaas.platforms._files import read_mapping
from lmaas.selection._candidate import Candidate, Fleet, Overheads
from lmaas.selection._evidence_files import read_evidence, stated_evidence
from lmaas.selection._metrics import Score
from lmaas.selection._places import line_of
from lmaas.selection._preferences import Certainty, Criterion, Preferences
from lmaas.selection._rules import Rules
from lmaas.selection._select import Options, select
from lmaas.selection._selection import Selection
from lmaas.selection._sized import Sized, size
from lmaas.selection._task import TaskSpec

_SIZED: Final = ("usd_per_gpu_hour", "gpus", "engine_args")
_Rate: TypeAlias = Annotated[Decimal, Field(ge=0)]


class _Closed(BaseModel):
    # Fields that are dataclasses of ours are as closed as this is, and checked as they check themselves.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Anchor(_Closed):
    best: float
    worst: float
    between: tuple[tuple[float, float], ...] = ()


class _Preferences(_Closed):
    certainty: Certainty = "rough"
    weights: dict[Literal["performance", "scalability", "ease of use", "cost"], float] | None = None
    anchors: dict[str, _Anchor] = Field(default_factory=dict)
    criteria: tuple[Criterion, ...] = ()


class _Price(_Closed):
    input_per_million: _Rate
    output_per_million: _Rate
    cached_per_million: _Rate | None = None
    source: str = ""
    as_of: date | None = None


class _Fleet(_Closed):
    usd_per_gpu_hour: float | None = Field(default=None, ge=0)
    gpus: int | None = Field(default=None, ge=1)
    spares: int = Field(default=0, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    engine_args: tuple[str, ...] | None = None


class _Candidate(_Closed):
    platform: str
    model: str
    name: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    price: _Price | None = None
    hardware: str | None = None
    fleet: _Fleet | None = None
    overheads: Overheads = Overheads()
    attested: dict[str, bool] = Field(default_factory=dict)
    evidence: tuple[Annotated[Evidence, PlainValidator(stated_evidence)], ...] = ()


class _Choice(_Closed):
    task: TaskSpec = TaskSpec()
    workload: str | dict[str, Any]
    rules: Rules = Rules()
    preferences: _Preferences = _Preferences()
    catalogue: str | dict[str, Any] | None = None
    candidates: tuple[_Candidate, ...] = Field(min_length=1)
    evidence: tuple[str, ...] = ()
    draws: int = Field(default=10_000, ge=1)
    seed: int = Field(default=1, ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Everything that `select` takes, as a file says it."""

    task: TaskSpec
    workload: Workload
    rules: Rules
    preferences: Preferences
    candidates: tuple[Candidate, ...]
    evidence: Mapping[str, tuple[Evidence, ...]]
    options: Options

    @classmethod
    def load(cls, path: str | Path, *, today: date | None = None) -> Choice:
        """Read a file; others that it names lie beside it.

        Raises:
            ConfigurationError: it cannot be read, or something in it cannot be; says where.
        """
        return _load(Path(path), today)

    def select(self) -> Selection:
        """Choose."""
        return select(
            self.task,
            self.workload,
            None,
            self.rules,
            self.preferences,
            self.candidates,
            self.evidence,
            self.options,
        )


def _load(path: Path, today: date | None) -> Choice:
    content = read_mapping(path)
    told = _validated(content, path)
    catalogue = Catalogue.load(
        path.parent / told.catalogue if isinstance(told.catalogue, str) else told.catalogue, today=today
    )
    workload = _workload(told.workload, path)
    candidates = tuple(_candidate(one, catalogue, workload, path) for one in told.candidates)
    measured = read_evidence([path.parent / name for name in told.evidence], candidates)
    own = {candidate.name: one.evidence for candidate, one in zip(candidates, told.candidates, strict=True)}
    return Choice(
        task=told.task,
        workload=workload,
        rules=told.rules,
        preferences=_preferences(told.preferences, path),
        candidates=candidates,
        evidence={name: own[name] + measured.get(name, ()) for name in own},
        options=Options(
            draws=told.draws, seed=told.seed, today=today, command=f"lmaas choose {path} --seed {told.seed}"
        ),
    )


def _validated(content: Mapping[str, Any], path: Path) -> _Choice:
    try:
        return _Choice.model_validate(content)
    except ValidationError as error:
        text = path.read_text("utf-8") if path.suffix in {".yaml", ".yml"} else ""
        problems = [_explain(problem, path.name, text) for problem in error.errors(include_url=False)]
        raise ConfigurationError("; ".join(dict.fromkeys(problems))) from None


def _explain(problem: Any, name: str, text: str) -> str:
    place = [part for part in problem["loc"] if part not in {"str", "dict[str,any]"}]
    line = line_of(text, place) if text else None
    where = f"{name}, line {line}" if line else name
    is_strange = problem["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
    reason = "there is no such field" if is_strange else problem["msg"].removeprefix("Value error, ")
    return f"{where}: {'.'.join(map(str, place))}: {reason}"


def _workload(told: str | Mapping[str, Any], path: Path) -> Workload:
    return Workload.load(path.parent / told) if isinstance(told, str) else workload_of(told, path)


def _preferences(told: _Preferences, path: Path) -> Preferences:
    if told.criteria:
        if told.weights is not None or told.anchors:
            raise ConfigurationError(
                f"{path.name}: preferences: give either criteria, or weights of the four scores with anchors"
            )
        return Preferences(told.criteria, told.certainty)
    weights = {Score(name): weight for name, weight in (told.weights or {}).items()}
    anchors = [
        Criterion(metric=metric, weight=1.0, **anchor.model_dump()) for metric, anchor in told.anchors.items()
    ]
    return Preferences.weighing(weights or dict.fromkeys(Score, 1.0), anchors, told.certainty)


def _candidate(told: _Candidate, catalogue: Catalogue, workload: Workload, path: Path) -> Candidate:
    known = {platform.id for platform in catalogue.platforms}
    if told.platform not in known and told.base_url is not None:
        platform = Platform(id=told.platform, name=told.platform)
        offer = Offer(platform=told.platform, model=told.model)
        base = Candidate(name=offer.id, platform=platform, offer=offer)
    else:
        base = Candidate.of(catalogue, told.platform, told.model)
    offer = base.offer
    if told.price is not None:
        given = told.price.model_dump() | {"source": told.price.source or path.name}
        offer = replace(offer, price=Price(**given), other_prices=())  # a contract is no matter of opinion
    sized = None if told.hardware is None else size(told.model, told.hardware, _longest_tokens(workload))
    return Candidate(
        name=told.name or base.name,
        platform=base.platform,
        offer=offer,
        base_url=told.base_url,
        api_key_env=told.api_key_env,
        fleet=_fleet(told.fleet, sized, f"{path.name}: {told.name or base.name}"),
        fit=sized,
        overheads=told.overheads,
        attested={name: Sourced(value, path.name) for name, value in told.attested.items()},
    )


def _longest_tokens(workload: Workload) -> int:
    """Return how many tokens a sequence may need: the 99th percentiles of prompts and answers together."""
    return ceil(workload.prompt_tokens.quantile(0.99) + workload.output_tokens.quantile(0.99))


def _fleet(told: _Fleet | None, sized: Sized | None, where: str) -> Fleet | None:
    """Return the machines, with what the file leaves to sizing."""
    if told is None and sized is None:
        return None
    found = {} if sized is None else {name: getattr(sized, name) for name in _SIZED}
    given = {} if told is None else told.model_dump(exclude_none=True)
    if "usd_per_gpu_hour" not in found | given:
        raise ConfigurationError(f"{where}: a fleet needs usd_per_gpu_hour, or hardware that has a price")
    try:
        return Fleet(**found | given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
