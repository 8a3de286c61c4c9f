"""How vLLM is to be run: what was asked for, and what it makes of what was not."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.sizing._accelerators import Accelerator
from lmaas.sizing._bytes import GIB, dtype_bytes, kv_dtype_bytes
from lmaas.sizing._errors import SizingError
from lmaas.sizing._shape import ModelShape
from lmaas.sizing._split import Split

DEFAULT_GPU_MEMORY_UTILIZATION = 0.92  # of vLLM since 0.21


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Arguments of `vllm serve`, by its names; None leaves one to vLLM.

    Attributes:
        tensor_parallel_size: None: the fewest GPUs that hold the model.
        pipeline_parallel_size: Stages of layers.
        max_model_len: Tokens of prompt and answer; None: as many as the model and the cache allow.
        gpu_memory_utilization: Share of the memory that vLLM may fill.
        max_num_seqs: Sequences at a time.
        max_num_batched_tokens: Tokens of one step.
        dtype: "auto" is the model's own, but never float32.
        kv_cache_dtype: "auto" is the model's own.
        enforce_eager: Without CUDA graphs.
        block_size: Tokens of a cache block.

    Raises:
        SizingError: a value is out of range, or a dtype is not known.
    """

    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int = 1
    max_model_len: int | None = None
    gpu_memory_utilization: float = DEFAULT_GPU_MEMORY_UTILIZATION
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    dtype: str = "auto"
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    block_size: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.gpu_memory_utilization <= 1:
            raise SizingError(
                f"gpu_memory_utilization must be above 0 and at most 1, not {self.gpu_memory_utilization}"
            )
        for name in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SizingError(f"{name} must be 1 or more, not {value}")
        if self.dtype != "auto":
            dtype_bytes(self.dtype)
        kv_dtype_bytes(self.kv_cache_dtype, "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Settings with nothing left open; fields as in `EngineSettings`."""

    split: Split
    gpu_memory_utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    dtype: str
    kv_cache_dtype: str
    enforce_eager: bool
    block_size: int


def resolve(settings: EngineSettings, shape: ModelShape, accelerator: Accelerator, split: Split) -> Engine:
    """Fill in what vLLM would.

    Source: vLLM 0.32: EngineArgs.get_batch_defaults for an API server (by memory and name of the GPU);
    ModelConfig.is_chunked_prefill_supported: without causal attention a whole text is read at once.
    """
    seqs, tokens = _batch_defaults(accelerator)
    if not shape.is_causal:
        tokens = max(tokens, settings.max_model_len or shape.max_model_len)
    return Engine(
        split=split,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        max_num_seqs=settings.max_num_seqs or seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens or tokens,
        dtype=_dtype(settings.dtype, shape, accelerator),
        kv_cache_dtype=settings.kv_cache_dtype,
        enforce_eager=settings.enforce_eager,
        block_size=settings.block_size,
    )


def _batch_defaults(accelerator: Accelerator) -> tuple[int, int]:
    """Return max_num_seqs and max_num_batched_tokens."""
    if accelerator.memory_bytes >= 160 * GIB:
        return 1024, 16384
    if accelerator.memory_bytes >= 70 * GIB and not accelerator.name.startswith("A100"):
        return 1024, 8192
    return 256, 2048


def _dtype(asked: str, shape: ModelShape, accelerator: Accelerator) -> str:
    if asked != "auto":
        return asked
    dtype = "bfloat16" if shape.dtype == "float32" else shape.dtype
    return "float16" if dtype == "bfloat16" and not accelerator.has_bfloat16 else dtype
