"""Memory that is neither weights nor cache: activations, CUDA graphs, and what lies outside PyTorch.

These are estimates (grade D), fitted to logs of vLLM 0.17 to 0.27; docs/sizing.md says how far off they were.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.sizing._accelerators import Accelerator
from lmaas.sizing._bytes import GIB, dtype_bytes
from lmaas.sizing._settings import Engine
from lmaas.sizing._shape import Experts, ModelShape
from lmaas.sizing._split import stage_layers

_LOGIT_BYTES = 15
"""Of one number of the sampler's input: 2 as computed, 4 as float32, and 9 while it is sorted and sampled.
Fitted: 14.7 to 15.6 in logs of 12 models with vocabularies of 32,000 to 262,000."""
_GRAPH_LAYER_BYTES = 220 * 1024
"""Of one layer in one CUDA graph. Fitted: 180 to 290 KiB in logs of models with 32 to 64 layers."""
_LARGEST_GRAPH = 512
_OUTSIDE_BYTES = int(0.25 * GIB)
_NVLINK_GROUP_BYTES = int(1.85 * GIB)
_PCIE_GROUP_BYTES = int(0.35 * GIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Bytes of one GPU beside weights and cache.

    Attributes:
        activations: Peak of one step over `max_num_batched_tokens` tokens.
        cuda_graphs: Captured steps of decoding.
        outside: CUDA's context and the buffers of collective operations.
    """

    activations: int
    cuda_graphs: int
    outside: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.activations + self.cuda_graphs + self.outside


def runtime_bytes(shape: ModelShape, engine: Engine, accelerator: Accelerator, stage: int = 0) -> Runtime:
    """Estimate what one GPU of a pipeline stage needs beside weights and cache."""
    return Runtime(
        activations=activation_bytes(shape, engine, stage),
        cuda_graphs=cuda_graph_bytes(shape, engine, stage),
        outside=outside_bytes(engine, accelerator),
    )


def activation_bytes(shape: ModelShape, engine: Engine, stage: int = 0) -> int:
    """Estimate the peak of a step, which comes either within a layer or when logits are sampled.

    Within a layer: tokens x (6 x the feed-forward width, split, + 8 x the hidden size) bytes at 2 bytes a
    number: gate and up, their product, the input, the residual and their normed copies. Sampling:
    sequences x vocabulary x 15 bytes, not split, and the hidden states. Experts add a workspace that stays.

    Source: vLLM's profile run (v1/worker/gpu_model_runner.py: profile_run) and its log lines "torch peak
    memory increase".
    """
    width, tokens = dtype_bytes(engine.dtype), engine.max_num_batched_tokens
    experts = shape.experts
    inner = 0 if experts and experts.num_layers == shape.num_layers else shape.intermediate_size
    layer = tokens * (3 * inner / engine.split.tensor + 4 * shape.hidden_size) * width
    peak = layer
    if shape.kind == "generate" and stage == engine.split.pipeline - 1:
        logits = engine.max_num_seqs * shape.vocab_size * _LOGIT_BYTES
        peak = max(layer, logits + tokens * shape.hidden_size * width)
    if engine.split.pipeline > 1:
        peak += 2 * tokens * shape.hidden_size * width  # hidden states and residual from and to other stages
    return round(peak + (_expert_workspace(shape, experts, engine) if experts else 0))


def _expert_workspace(shape: ModelShape, experts: Experts, engine: Engine) -> float:
    """Source: vLLM's fused_moe workspaces: gate and up or the output, and their product, of all choices."""
    inner = experts.intermediate_size / engine.split.tensor
    choices = engine.max_num_batched_tokens * experts.per_token
    return choices * (max(2 * inner, shape.hidden_size) + inner) * dtype_bytes(engine.dtype)


def cuda_graph_bytes(shape: ModelShape, engine: Engine, stage: int = 0) -> int:
    """Estimate captured graphs: layers x graphs x a fitted 220 KiB.

    vLLM captures batches of 1, 2, 4, each multiple of 8 up to 256, and of 16 up to 512: each once for mixed
    steps, and once more for decoding up to `max_num_seqs`. Since 0.21 it sets their memory aside.

    Source: vLLM 0.32, config/vllm.py: _set_cudagraph_sizes; its log lines "Estimated CUDA graph memory".
    """
    if engine.enforce_eager:
        return 0
    largest = min(2 * engine.max_num_seqs, _LARGEST_GRAPH)
    graphs = _graph_sizes(largest)
    if shape.kind == "generate":
        graphs += _graph_sizes(min(engine.max_num_seqs, largest))
    layers = stage_layers(shape.num_layers, engine.split.pipeline)[stage]
    return layers * graphs * _GRAPH_LAYER_BYTES


def _graph_sizes(largest: int) -> int:
    sizes = {1, 2, 4, *range(8, 256, 8), *range(256, _LARGEST_GRAPH + 1, 16)}
    return sum(size <= largest for size in sizes)


def outside_bytes(engine: Engine, accelerator: Accelerator) -> int:
    """Estimate what PyTorch does not count: 0.25 GiB, and buffers of the GPUs that share layers.

    Source: log lines "non-torch forward increase memory": 0.25 GiB on one H100, 2.07 to 2.17 GiB with a
    tensor-parallel group over NVLink; 0.30 to 0.6 GiB over PCIe.
    """
    if engine.split.tensor == 1:
        return _OUTSIDE_BYTES
    is_pcie = accelerator.interconnect == "PCIe"
    return _OUTSIDE_BYTES + (_PCIE_GROUP_BYTES if is_pcie else _NVLINK_GROUP_BYTES)
