"""What sequences keep in memory: bytes a token, blocks, and how many tokens and sequences fit."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.sizing._bytes import ceil_div, dtype_bytes, kv_dtype_bytes
from lmaas.sizing._shape import ModelShape, RecurrentState
from lmaas.sizing._split import Split, stage_layers

_STATE_BLOCKS = 2  # vLLM keeps a state at the last block's edge beside the current one, for the prefix cache
_STATE_ALIGNMENT_TOKENS = 16
_CONCURRENT_BATCHES = 2  # asynchronous scheduling: one step runs while the next is prepared


def kv_bytes_per_token(
    shape: ModelShape,
    *,
    kv_cache_dtype: str = "auto",
    dtype: str | None = None,
    tensor_parallel_size: int = 1,
) -> int:
    """Return the bytes that a token leaves on one GPU, in all layers that keep tokens.

    Grouped-query attention: 2 x layers x KV heads x head dimension x bytes, divided by the tensor-parallel
    size until each GPU has one head. Latent attention: layers x (kv_lora_rank + rope dimension) x bytes,
    whole on every GPU. Layers with a window count as long as the sequence is within it.

    Source: GQA, arXiv:2305.13245; MLA, arXiv:2405.04434 section 2.1.4; vLLM 0.32, AttentionSpec.
    """
    layers = shape.full_layers + shape.sliding_layers
    number_bytes = kv_dtype_bytes(kv_cache_dtype, dtype or shape.dtype)
    return layers * layer_bytes_per_token(shape, number_bytes, tensor_parallel_size)


def layer_bytes_per_token(shape: ModelShape, number_bytes: int, tensor_parallel_size: int) -> int:
    """Return the bytes that a token leaves in one layer on one GPU; see `kv_bytes_per_token`."""
    if shape.latent:
        return (shape.latent.kv_lora_rank + shape.latent.qk_rope_head_dim) * number_bytes
    return 2 * max(1, shape.num_kv_heads // tensor_parallel_size) * shape.head_dim * number_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout:
    """Blocks of one GPU's KV cache, as vLLM's hybrid cache manager groups layers.

    Layers of one kind form groups of equally many layers; a block of the shared pool holds `block_size`
    tokens of all layers of one group, so a sequence takes blocks of each group.

    Attributes:
        block_size: Tokens of a block.
        block_bytes: Of a block; 0 if nothing is kept.
        full_groups: Groups that keep every token.
        sliding_groups: Groups that keep a window.
        window: Tokens that those keep, with what is being computed; 0 without such groups.
        state_groups: Groups that keep a state.

    Source: vLLM 0.32, v1/core/kv_cache_utils.py: _get_kv_cache_groups_uniform_page_size,
    get_max_concurrency_for_kv_cache_config; v1/kv_cache_interface.py: SlidingWindowSpec, MambaSpec.
    """

    block_size: int
    block_bytes: int
    full_groups: int
    sliding_groups: int
    window: int
    state_groups: int

    def blocks(self, available_bytes: int) -> int:
        """Return how many blocks fit."""
        return max(available_bytes, 0) // self.block_bytes if self.block_bytes else 0

    def sequence_blocks(self, tokens: int) -> int:
        """Return the blocks that a sequence of so many tokens takes."""
        blocks = self.full_groups * ceil_div(tokens, self.block_size)
        if self.sliding_groups:
            blocks += self.sliding_groups * (ceil_div(min(self.window, tokens), self.block_size) + 1)
        return blocks + self.state_groups * _STATE_BLOCKS

    def sequences(self, available_bytes: int, tokens: int) -> float:
        """Return how many sequences of so many tokens fit at once; vLLM calls it maximum concurrency."""
        taken = self.sequence_blocks(tokens)
        return self.blocks(available_bytes) / taken if taken else 0.0

    def tokens(self, available_bytes: int, max_model_len: int) -> int:
        """Return the tokens that vLLM's log would call the KV cache size: sequences x `max_model_len`."""
        return int(self.sequences(available_bytes, max_model_len) * max_model_len)

    def longest(self, available_bytes: int, limit: int) -> int:
        """Return the longest sequence up to `limit` tokens that fits alone; 0 if none does."""
        blocks = self.blocks(available_bytes)
        if self.sequence_blocks(limit) <= blocks:
            return limit
        low, high = 0, limit
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.sequence_blocks(middle) <= blocks else (low, middle)
        return low


def cache_layout(
    shape: ModelShape,
    split: Split = Split(),  # noqa: B008 - frozen
    *,
    stage: int = 0,
    dtype: str | None = None,
    kv_cache_dtype: str = "auto",
    block_size: int = 16,
    max_num_batched_tokens: int = 2048,
) -> CacheLayout:
    """Lay a model's KV cache out for one GPU of a pipeline stage; stages get layers of all kinds evenly."""
    if not shape.keeps_cache:
        return CacheLayout(
            block_size=block_size, block_bytes=0, full_groups=0, sliding_groups=0, window=0, state_groups=0
        )
    dtype = dtype or shape.dtype
    token_bytes = layer_bytes_per_token(shape, kv_dtype_bytes(kv_cache_dtype, dtype), split.tensor)
    layers = stage_layers(shape.num_layers, split.pipeline)[stage]
    full, sliding, states = _stage_kinds(shape, layers)
    if states and shape.recurrent:
        block_size = _state_block_size(shape.recurrent, dtype, split.tensor, token_bytes, block_size)
    size = _group_size([count for count in (full, sliding, states) if count])
    window = (shape.sliding_window or 1) - 1 + _CONCURRENT_BATCHES * max_num_batched_tokens
    return CacheLayout(
        block_size=block_size,
        block_bytes=size * block_size * token_bytes,
        full_groups=ceil_div(full, size),
        sliding_groups=ceil_div(sliding, size),
        window=window if sliding else 0,
        state_groups=ceil_div(states, size),
    )


def _stage_kinds(shape: ModelShape, layers: int) -> tuple[int, int, int]:
    """Return a stage's layers that are full, sliding and recurrent, in the model's own proportion."""
    full = round(shape.full_layers * layers / shape.num_layers)
    sliding = round(shape.sliding_layers * layers / shape.num_layers)
    if not shape.recurrent:
        full = layers - sliding
    return full, sliding, layers - full - sliding


def _group_size(counts: list[int]) -> int:
    """Return the layers of a group: as many as the rarest kind has, or as the commonest if they are close.

    Source: vLLM 0.32, v1/core/kv_cache_utils.py: _get_kv_cache_groups_uniform_page_size.
    """
    rarest, commonest = min(counts), max(counts)
    return commonest if commonest < rarest * 1.5 else rarest


def _state_block_size(
    state: RecurrentState, dtype: str, tensor_parallel_size: int, token_bytes: int, block_size: int
) -> int:
    """Return the block size at which a block of attention holds a layer's whole state.

    Source: vLLM's own log ("Setting attention block size to … tokens to ensure that attention page size is
    >= mamba page size").
    """
    state_bytes = state.conv_numbers * dtype_bytes(dtype) + state.state_numbers * dtype_bytes(
        state.state_dtype
    )
    tokens = ceil_div(ceil_div(state_bytes, tensor_parallel_size), token_bytes)
    return max(block_size, ceil_div(tokens, _STATE_ALIGNMENT_TOKENS) * _STATE_ALIGNMENT_TOKENS)
