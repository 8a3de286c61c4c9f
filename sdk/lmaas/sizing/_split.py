"""A model split among GPUs: which splits work, and what of the weights lies on one GPU."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.sizing._bytes import ceil_div, dtype_bytes
from lmaas.sizing._errors import SizingError
from lmaas.sizing._models import Model
from lmaas.sizing._parameters import Parameters
from lmaas.sizing._shape import ModelShape

_WIDEST = 64
_VOCABULARY_PADDING = 64


@dataclass(frozen=True, slots=True)
class Split:
    """GPUs that hold one copy: `tensor` share each layer, `pipeline` stages of layers follow each other."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def gpus(self) -> int:
        """How many they are."""
        return self.tensor * self.pipeline


def check_split(shape: ModelShape, split: Split) -> None:
    """Refuse a split that vLLM refuses.

    Raises:
        SizingError: it does not divide the model; the message says why, and which do.

    Source: vLLM 0.32: ModelConfig.verify_with_parallel_config (heads), the attention layers (KV heads),
    divide() of distributed/utils.py (feed-forward), vocab_parallel_embedding (vocabulary padded to 64).
    """
    if split.tensor < 1 or split.pipeline < 1:
        raise SizingError("tensor and pipeline parallel sizes are 1 or more")
    if problem := _tensor_problem(shape, split.tensor):
        works = ", ".join(map(str, tensor_sizes(shape)))
        raise SizingError(f"--tensor-parallel-size {split.tensor}: {problem}; these work: {works}")
    if split.pipeline > shape.num_layers:
        raise SizingError(
            f"--pipeline-parallel-size {split.pipeline}: the model has {shape.num_layers} layers; "
            f"give 1 to {shape.num_layers}"
        )


def tensor_sizes(shape: ModelShape, most: int = _WIDEST) -> list[int]:
    """Return the tensor-parallel sizes up to `most` that divide a model, ascending."""
    return [size for size in range(1, most + 1) if _tensor_problem(shape, size) is None]


def _tensor_problem(shape: ModelShape, size: int) -> str | None:
    if shape.num_heads % size:
        return f"it does not divide the {shape.num_heads} attention heads"
    heads = shape.num_kv_heads
    if shape.latent is None and heads % size and size % heads:
        return f"it neither divides the {heads} KV heads nor is a multiple of them"
    padded = -(-shape.vocab_size // _VOCABULARY_PADDING) * _VOCABULARY_PADDING
    if padded % size:
        return f"it does not divide the vocabulary of {padded}"
    return _width_problem(shape, size)


def _width_problem(shape: ModelShape, size: int) -> str | None:
    experts = shape.experts
    widths = [] if experts and experts.num_layers == shape.num_layers else [shape.intermediate_size]
    widths += [experts.intermediate_size] if experts else []
    block = shape.quantization.block if shape.quantization else 0
    for width in widths:
        if width % size:
            return f"it does not divide the feed-forward width of {width}"
        if size > 1 and block and (width // size) % block:
            return f"{width} / {size} is no multiple of the quantisation's {block}"
    return None


def stage_layers(num_layers: int, stages: int) -> list[int]:
    """Return how many layers each pipeline stage gets.

    Source: vLLM 0.32, get_pp_indices of distributed/utils.py: what does not divide goes to the middle.
    """
    layers = [num_layers // stages] * stages
    for place in range(2, num_layers % stages + 2):
        layers[-place] += 1
    return layers


def weight_bytes(model: Model, dtype: str) -> int:
    """Return the bytes of all weights as they are loaded, without what kernels pad.

    Exact where the tensors are known: numbers x bytes of the dtype they are loaded in, or their own bytes
    in a quantised checkpoint. Else parameters x bits / 8, with scales.

    Source: the safetensors format; vLLM casts floating-point weights to the model's dtype as it loads them.
    """
    if not model.stored:
        return round(sum(_part_bytes(model, dtype)))
    if model.shape.quantization:
        return sum(tensor.size_bytes for tensor in model.stored)
    width = dtype_bytes(dtype)
    return sum(t.numbers * width if "F" in t.dtype else t.size_bytes for t in model.stored)


def gpu_weight_bytes(model: Model, dtype: str, split: Split, stage: int = 0) -> int:
    """Return the bytes of weights on one GPU of a pipeline stage.

    Matrices are split evenly; norms, biases, routers and latent projections are on every GPU; projections to
    keys and values are repeated once each GPU has one head; embedding and output layer are on the first and
    last stage, a tied one on both. Experts are padded as their kernels need.

    Source: Megatron-LM's split, arXiv:1909.08053 section 3, as vLLM's layers do it; padding of MXFP4 experts:
    tensor shapes of vLLM's log of gpt-oss-20b (2,880 becomes 2,944 and 3,072).
    """
    embedding, head, linear, kv, experts, small, other = _part_bytes(model, dtype)
    total = embedding + head + linear + kv + experts + small + other
    layers = stage_layers(model.shape.num_layers, split.pipeline)
    kv_split = min(split.tensor, model.shape.num_kv_heads)
    share = layers[stage] / model.shape.num_layers
    padded = experts * _expert_padding(model.shape)
    held = share * ((linear + padded) / split.tensor + kv / kv_split + small)
    if stage == 0:
        held += (embedding + other) / split.tensor
    if stage == split.pipeline - 1:
        tied = embedding if split.pipeline > 1 and model.shape.tie_word_embeddings else 0
        held += (head + tied) / split.tensor
    return round(held * weight_bytes(model, dtype) / total)


def _expert_padding(shape: ModelShape) -> float:
    if not shape.experts or not shape.quantization:
        return 1.0
    inner, outer = shape.quantization.expert_padding
    width, hidden = shape.experts.intermediate_size, shape.hidden_size
    return (ceil_div(width, inner) * inner / width) * (ceil_div(hidden, outer) * outer / hidden)


def _part_bytes(model: Model, dtype: str) -> tuple[float, ...]:
    parameters, quantization = model.parameters, model.shape.quantization
    width = float(dtype_bytes(dtype))
    narrow = quantization.bytes_per_weight if quantization else width
    linear = width if quantization and quantization.experts_only else narrow
    return (
        parameters.embedding * width,
        parameters.lm_head * width,
        parameters.linear * linear,
        parameters.kv_projection * linear,
        parameters.experts * narrow,
        parameters.replicated * width,
        parameters.other * width,
    )


def active_parameters(shape: ModelShape, parameters: Parameters, tokens: int = 1) -> float:
    """Return the parameters that a step over `tokens` tokens uses, the embedding's rows left out.

    Of experts, those that at least one token chose, were choices even.

    Source: the expected number of distinct draws, count x (1 - (1 - k / count)^tokens).
    """
    used = float(parameters.total - parameters.embedding - parameters.other)
    if shape.tie_word_embeddings:
        used += parameters.embedding
    if not shape.experts:
        return used
    untouched = (1 - shape.experts.per_token / shape.experts.count) ** tokens
    return used - parameters.experts * untouched
