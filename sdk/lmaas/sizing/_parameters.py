"""How many parameters a shape has, sorted by how they are stored and split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lmaas.sizing._shape import Experts, LatentAttention, ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Parameters by where they lie.

    Attributes:
        embedding: Of tokens, positions and types; split among the GPUs of a tensor-parallel group.
        lm_head: The output layer; 0 where it is the embedding.
        linear: Other layers' matrices, split likewise; what quantisation shrinks.
        kv_projection: Those that make keys and values: split until each GPU has one head, then repeated.
        experts: Split likewise; of each token, few are used.
        replicated: Norms, biases, routers and what makes latent vectors: whole on each GPU.
        other: What no formula covers, such as an encoder of images.
    """

    embedding: int
    lm_head: int
    linear: int
    kv_projection: int
    experts: int
    replicated: int
    other: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        layers = self.linear + self.kv_projection + self.experts + self.replicated
        return self.embedding + self.lm_head + layers + self.other

    def with_total(self, total: int) -> Parameters:
        """Return them with what is missing from a published total as `other`; unchanged if nothing is."""
        return replace(self, other=max(total - (self.total - self.other), 0))


def count_parameters(shape: ModelShape) -> Parameters:
    """Count the parameters of a shape.

    Layers that keep a state are counted as if they were attention: give a total, or weights, for hybrids.

    Source: the layers' definitions: Vaswani et al., arXiv:1706.03762; GQA, arXiv:2305.13245; gated
    feed-forward, arXiv:2002.05202; MLA, arXiv:2405.04434; checked against the publishers' totals by a test.
    """
    linear, kv_projection, attention_small = _attention(shape)
    dense = _feed_forward(shape, shape.intermediate_size)
    experts = shape.experts
    dense_layers = shape.num_layers - (experts.num_layers if experts else 0)
    shared, routed, moe_small = _experts(shape, experts) if experts else (0, 0, 0)
    norms = shape.traits.norms_per_layer * shape.traits.norm_vectors * shape.hidden_size
    small = shape.num_layers * (attention_small + norms) + dense_layers * _biases(shape) + moe_small
    rows = shape.vocab_size + shape.positions + shape.token_types
    return Parameters(
        embedding=rows * shape.hidden_size,
        lm_head=0 if _has_no_head(shape) else shape.vocab_size * shape.hidden_size,
        linear=shape.num_layers * linear + dense_layers * dense + shared + _pooler(shape),
        kv_projection=shape.num_layers * kv_projection,
        experts=routed,
        replicated=small + shape.traits.norm_vectors * shape.hidden_size,
    )


def _has_no_head(shape: ModelShape) -> bool:
    return shape.tie_word_embeddings or shape.kind == "pooling"


def _pooler(shape: ModelShape) -> int:
    return shape.hidden_size * (shape.hidden_size + 1) if shape.has_pooler else 0


def _attention(shape: ModelShape) -> tuple[int, int, int]:
    """Return matrices, key and value matrices, and what is on every GPU, of one layer."""
    if shape.latent:
        return _latent_attention(shape, shape.latent)
    traits = shape.traits
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    small = (
        (queries + 2 * keys if traits.qkv_bias else 0)
        + (shape.hidden_size if traits.output_bias else 0)
        + (2 * shape.head_dim if traits.qk_norm else 0)
        + (shape.num_heads if traits.has_sinks else 0)
    )
    return 2 * shape.hidden_size * queries, 2 * shape.hidden_size * keys, small


def _latent_attention(shape: ModelShape, latent: LatentAttention) -> tuple[int, int, int]:
    per_head = latent.qk_nope_head_dim + latent.qk_rope_head_dim
    down_kv = shape.hidden_size * (latent.kv_lora_rank + latent.qk_rope_head_dim) + latent.kv_lora_rank
    up_kv = latent.kv_lora_rank * shape.num_heads * (latent.qk_nope_head_dim + latent.v_head_dim)
    output = shape.num_heads * latent.v_head_dim * shape.hidden_size
    if latent.q_lora_rank is None:
        return shape.hidden_size * shape.num_heads * per_head + up_kv + output, 0, down_kv
    down_q = shape.hidden_size * latent.q_lora_rank + latent.q_lora_rank
    return latent.q_lora_rank * shape.num_heads * per_head + up_kv + output, 0, down_kv + down_q


def _feed_forward(shape: ModelShape, intermediate_size: int) -> int:
    return shape.traits.mlp_matrices * shape.hidden_size * intermediate_size


def _biases(shape: ModelShape) -> int:
    if not shape.traits.mlp_bias:
        return 0
    return (shape.traits.mlp_matrices - 1) * shape.intermediate_size + shape.hidden_size


def _experts(shape: ModelShape, experts: Experts) -> tuple[int, int, int]:
    """Return shared experts, routed ones, and routers with gates and biases, of all layers."""
    traits, layers, hidden = shape.traits, experts.num_layers, shape.hidden_size
    one = _feed_forward(shape, experts.intermediate_size)
    if traits.mlp_bias:
        one += (traits.mlp_matrices - 1) * experts.intermediate_size + hidden
    router = hidden * experts.count + (experts.count if traits.router_bias else 0)
    gate = hidden if traits.has_shared_gate and experts.shared_intermediate_size else 0
    shared = _feed_forward(shape, experts.shared_intermediate_size)
    return layers * shared, layers * experts.count * one, layers * (router + gate)
