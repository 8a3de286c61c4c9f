"""Workloads as files: a description in YAML or JSON, or a log of calls in JSONL.

name: support chat
prompt_tokens: {p50: 600, p95: 2400}        # lognormal; or 512, or {low: 100, high: 900}
output_tokens: 128
calls_per_s: 4
day: [0.2, …]                               # 24 multiples of the mean
shared_prefix_share: 0.4
languages: {zh: 0.7, en: 0.3}
slo: {ttft_s: 0.8, itl_s: 0.1, percentile: 0.95}
prompts: prompts.jsonl                      # real calls to send, beside this file
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmaas.errors import ConfigurationError
from lmaas.measuring._lengths import FixedLength, Lengths, LognormalLengths, UniformLengths
from lmaas.measuring._log import read_log
from lmaas.measuring._slo import SLO
from lmaas.measuring._workload import Workload
from lmaas.platforms._files import read_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Lognormal(_Closed):
    p50: float
    p95: float


class _Uniform(_Closed):
    low: int
    high: int


class _Limits(_Closed):
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    percentile: float = 0.95
    availability: float | None = None


class _Described(_Closed):
    name: str | None = None
    prompt_tokens: int | _Lognormal | _Uniform | None = None
    output_tokens: int | _Lognormal | _Uniform | None = None
    calls_per_s: float | None = None
    day: tuple[float, ...] = ()
    burstiness: float = 1.0
    shared_prefix_share: float | None = None
    languages: dict[str, float] = Field(default_factory=dict)
    input_modalities: tuple[str, ...] | None = None
    slo: _Limits = _Limits()
    prompts: str | None = None


def load_workload(path: Path) -> Workload:
    """Read a workload; see `Workload.load`."""
    if path.suffix == ".jsonl":
        return read_log(path)
    return workload_of(read_mapping(path), path)


def workload_of(content: Mapping[str, Any], path: Path) -> Workload:
    """Make a workload of a description; files that it names lie beside `path`.

    Raises:
        ConfigurationError: a field is missing, unknown or wrong.
    """
    told = _validated(_Described, content, path.name)
    name = told.name or path.stem
    slo = SLO(**told.slo.model_dump())
    common: dict[str, Any] = {"name": name, "slo": slo, "day": told.day, "burstiness": told.burstiness}
    if told.prompts is not None:
        return _from_prompts(path.parent / told.prompts, told, common)
    if told.prompt_tokens is None or told.output_tokens is None:
        message = (
            f"{path.name}: `prompt_tokens` and `output_tokens` are needed; give a number, "
            "{p50: …, p95: …} or {low: …, high: …}, or give `prompts: FILE.jsonl`."
        )
        raise ConfigurationError(message)
    return Workload(
        prompt_tokens=_lengths(told.prompt_tokens),
        output_tokens=_lengths(told.output_tokens),
        calls_per_s=told.calls_per_s,
        shared_prefix_share=told.shared_prefix_share or 0.0,
        languages=told.languages,
        input_modalities=told.input_modalities or ("text",),
        **common,
    )


def _from_prompts(path: Path, told: _Described, common: dict[str, Any]) -> Workload:
    """Return the workload of a log, with what the description says more or otherwise."""
    logged = read_log(path)
    changes: dict[str, Any] = dict(common)
    for name in ("calls_per_s", "shared_prefix_share", "input_modalities"):
        if (value := getattr(told, name)) is not None:
            changes[name] = value
    if told.languages:
        changes["languages"] = told.languages
    if told.prompt_tokens is not None:
        changes["prompt_tokens"] = _lengths(told.prompt_tokens)
    if told.output_tokens is not None:
        changes["output_tokens"] = _lengths(told.output_tokens)
    if not told.day:
        del changes["day"]
    return replace(logged, **changes)


def _lengths(told: int | _Lognormal | _Uniform) -> Lengths:
    if isinstance(told, int):
        return FixedLength(told)
    if isinstance(told, _Uniform):
        return UniformLengths(told.low, told.high)
    return LognormalLengths(told.p50, told.p95)


def _validated(model: type[ModelT], content: Mapping[str, Any], where: str) -> ModelT:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, found["loc"]))
        raise ConfigurationError(f"{where}: {field}: {found['msg']}.") from None
