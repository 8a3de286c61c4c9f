"""Which size of model: the largest that fits, and the smallest that measurements call good enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lmaas.evidence import Evidence
from lmaas.sizing._accelerators import Hardware
from lmaas.sizing._errors import SizingError
from lmaas.sizing._fit import Fit, fit
from lmaas.sizing._models import Model, find_model, known_models
from lmaas.sizing._settings import EngineSettings
from lmaas.sizing._shape import Kind


def models_that_fit(
    hardware: Hardware,
    models: Iterable[Model] | None = None,
    settings: EngineSettings | None = None,
    *,
    sequence_tokens: int = 1,
    kind: Kind = "generate",
) -> list[Fit]:
    """Return the models that fit, the largest first.

    Args:
        hardware: GPUs of one machine.
        models: Which; None: the known ones.
        settings: As for `fit`.
        sequence_tokens: Tokens of prompt and answer that must fit.
        kind: Only models of this kind.
    """
    found = []
    for model in models if models is not None else map(find_model, known_models()):
        if model.shape.kind != kind or model.shape.max_model_len < sequence_tokens:
            continue
        try:
            one = fit(model, hardware, settings, sequence_tokens=sequence_tokens)
        except SizingError:
            continue  # the settings do not suit this model: it does not fit
        if one.fits:
            found.append(one)
    return sorted(found, key=lambda one: one.model.parameters.total, reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A model and how well it did a task.

    Attributes:
        model: Its name.
        parameters: Its size, by which models are ordered.
        quality: As measured, higher is better; `low` is the lower end of its 95 % interval.
    """

    model: str
    parameters: int
    quality: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSize:
    """An answer to "how large must it be".

    Attributes:
        choice: The smallest model that surely is good enough; None if none is.
        lora: A smaller one that misses by so little that fine-tuning may mend it; None if there is none.
        reasons: A sentence for each model, in order of size.
    """

    choice: str | None
    lora: str | None
    reasons: tuple[str, ...]


def smallest_good_enough(measured: Sequence[Measured], minimum: float, *, margin: float = 0.05) -> RightSize:
    """Choose the smallest model whose lower bound of quality reaches a minimum.

    A mean above the minimum is not enough: that may be luck. The smallest model that is smaller than the
    choice and misses by less than `margin` is named for fine-tuning with LoRA; where none is good enough,
    the largest that so misses.

    Raises:
        SizingError: nothing was measured, or a figure has no interval.

    Source: a one-sided 97.5 % confidence bound as a non-inferiority test; LoRA, arXiv:2106.09685.
    """
    if not measured:
        raise SizingError("give at least one measured model")
    ordered = sorted(measured, key=lambda one: one.parameters)
    bounds = [_bound(one) for one in ordered]
    choice = next((place for place, low in enumerate(bounds) if low >= minimum), None)
    near = [place for place, low in enumerate(bounds) if minimum - margin <= low < minimum]
    smaller = near[-1:] if choice is None else [place for place in near if place < choice][:1]
    return RightSize(
        choice=None if choice is None else ordered[choice].model,
        lora=ordered[smaller[0]].model if smaller else None,
        reasons=tuple(_reason(one, low, minimum, margin) for one, low in zip(ordered, bounds, strict=True)),
    )


def _bound(one: Measured) -> float:
    if one.quality.low is None:
        raise SizingError(f"{one.model}: its quality has no interval; measure it with one")
    return one.quality.low


def _reason(one: Measured, low: float, minimum: float, margin: float) -> str:
    said = f"{one.model}: {one.quality.value:.3f}, surely at least {low:.3f}"
    if low >= minimum:
        return f"{said}: good enough"
    if one.quality.value >= minimum:
        return f"{said}: may be good enough; measure more examples"
    if low >= minimum - margin:
        return f"{said}: misses by less than {margin:g}; fine-tuning with LoRA may make up for it"
    return f"{said}: not good enough"
