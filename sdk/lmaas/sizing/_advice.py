"""What to change where a model does not fit: each way is tried before it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmaas.sizing._accelerators import Hardware
from lmaas.sizing._errors import SizingError
from lmaas.sizing._fit import Fit, fit
from lmaas.sizing._models import Model
from lmaas.sizing._quantization import BY_NAME
from lmaas.sizing._settings import EngineSettings
from lmaas.sizing._split import tensor_sizes

_MOST_GPUS = 64


def ways_to_fit(one: Fit, sequence_tokens: int = 1) -> list[str]:
    """Return what would make it fit, each alone, least change first; nothing if it fits, or nothing would."""
    if one.fits:
        return []
    return list(_ways(one, sequence_tokens))


def _ways(one: Fit, sequence_tokens: int) -> Iterator[str]:
    settings = one.settings
    shorter = replace(settings, max_model_len=None)
    if settings.max_model_len and (found := _try(one.model, one.hardware, shorter, sequence_tokens)):
        yield f"--max-model-len {found.max_model_len}, or less"
    if settings.kv_cache_dtype == "auto" and one.model.shape.keeps_cache:
        halved = replace(settings, kv_cache_dtype="fp8")
        if _try(one.model, one.hardware, halved, sequence_tokens):
            yield "--kv-cache-dtype fp8 (half the cache a token; check quality)"
    if one.model.shape.quantization is None:
        yield from _quantised(one, sequence_tokens)
    yield from _more_gpus(one, sequence_tokens)


def _quantised(one: Fit, sequence_tokens: int) -> Iterator[str]:
    for quantization in BY_NAME.values():
        if _try(one.model.quantized(quantization), one.hardware, one.settings, sequence_tokens):
            how = "--quantization fp8" if quantization.at_load else f"a checkpoint in {quantization.name}"
            yield f"{how} (check quality)"


def _more_gpus(one: Fit, sequence_tokens: int) -> Iterator[str]:
    settings = replace(one.settings, tensor_parallel_size=None)
    for size in tensor_sizes(one.model.shape, _MOST_GPUS):
        more = Hardware(one.hardware.accelerator, size * settings.pipeline_parallel_size)
        if more.count > one.hardware.count and _try(one.model, more, settings, sequence_tokens):
            yield f"{more}: --tensor-parallel-size {size}"
            return


def _try(model: Model, hardware: Hardware, settings: EngineSettings, sequence_tokens: int) -> Fit | None:
    try:
        found = fit(model, hardware, settings, sequence_tokens=sequence_tokens)
    except SizingError:
        return None
    return found if found.fits else None
