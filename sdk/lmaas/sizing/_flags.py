"""The command that runs what was sized."""

from __future__ import annotations

import shlex

from lmaas.sizing._fit import Fit
from lmaas.sizing._settings import DEFAULT_GPU_MEMORY_UTILIZATION


def serve_flags(one: Fit) -> list[str]:
    """Return the arguments of `vllm serve` that differ from what it would do by itself, model first.

    Source: `vllm serve --help=all` of vLLM 0.32; a test parses them with its parser.
    """
    settings, split = one.settings, one.engine.split
    flags: list[tuple[str, object]] = []
    if split.tensor > 1:
        flags.append(("--tensor-parallel-size", split.tensor))
    if split.pipeline > 1:
        flags.append(("--pipeline-parallel-size", split.pipeline))
    if one.max_model_len and one.max_model_len != one.model.shape.max_model_len:
        flags.append(("--max-model-len", one.max_model_len))
    if settings.gpu_memory_utilization != DEFAULT_GPU_MEMORY_UTILIZATION:
        flags.append(("--gpu-memory-utilization", settings.gpu_memory_utilization))
    if settings.max_num_seqs:
        flags.append(("--max-num-seqs", settings.max_num_seqs))
    if settings.max_num_batched_tokens:
        flags.append(("--max-num-batched-tokens", settings.max_num_batched_tokens))
    words = [one.model.name, *_words(flags), *_words(_number_flags(one))]
    return [*words, "--enforce-eager"] if settings.enforce_eager else words


def serve_command(one: Fit) -> str:
    """Return the whole command, quoted for a shell."""
    return shlex.join(["vllm", "serve", *serve_flags(one)])


def _number_flags(one: Fit) -> list[tuple[str, object]]:
    """Flags that say how numbers are stored, and what kind of model it is."""
    settings, shape = one.settings, one.model.shape
    flags: list[tuple[str, object]] = []
    if settings.dtype != "auto" or one.engine.dtype != shape.dtype:
        flags.append(("--dtype", one.engine.dtype))
    if shape.quantization and shape.quantization.at_load:
        flags.append(("--quantization", shape.quantization.name))
    if settings.kv_cache_dtype != "auto":
        flags.append(("--kv-cache-dtype", settings.kv_cache_dtype))
    if shape.kind == "pooling":
        flags.append(("--runner", "pooling"))
    return flags


def _words(flags: list[tuple[str, object]]) -> list[str]:
    return [word for flag, value in flags for word in (flag, str(value))]
