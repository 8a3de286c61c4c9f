"""What of a model decides its size: layers, heads, experts, and what its attention keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from lmaas.sizing._quantization import Quantization

Kind: TypeAlias = Literal["generate", "pooling"]
"""What it is for: text, token after token, or vectors and scores of whole texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (MLA): one small vector a token stands for keys and values of all heads.

    Source: DeepSeek-V2, arXiv:2405.04434 section 2.1; names as in its config.json.
    """

    kv_lora_rank: int
    qk_rope_head_dim: int
    qk_nope_head_dim: int
    v_head_dim: int
    q_lora_rank: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Mixture of experts (MoE): `per_token` of `count` feed-forward networks work on each token.

    Attributes:
        count: In one layer.
        per_token: Of them, for one token.
        intermediate_size: Of one.
        shared_intermediate_size: Of what works on every token beside them; 0 if there is nothing.
        num_layers: Layers that have experts; the others have one network.
    """

    count: int
    per_token: int
    intermediate_size: int
    shared_intermediate_size: int
    num_layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentState:
    """Layers of a hybrid that keep one state of a fixed size a sequence, instead of something a token.

    Attributes:
        num_layers: How many there are.
        conv_numbers: Numbers of the convolution's state in one layer, in the model's dtype.
        state_numbers: Numbers of the recurrent state in one layer.
        state_dtype: Of `state_numbers`.
    """

    num_layers: int
    conv_numbers: int
    state_numbers: int
    state_dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Small parts that differ from family to family.

    Attributes:
        norms_per_layer: Norms over the hidden size in each layer.
        norm_vectors: Vectors of each norm: 1, or 2 with a bias.
        qk_norm: Whether queries and keys have norms of their own.
        qkv_bias: Whether queries, keys and values have biases.
        output_bias: Whether the attention's output has one.
        mlp_matrices: 3 with a gate, 2 without.
        mlp_bias: Whether the feed-forward network, or each expert, has biases.
        router_bias: Whether the router of experts has one.
        has_sinks: Whether each head has a learned attention sink.
        has_shared_gate: Whether the shared expert has a gate.
    """

    norms_per_layer: int = 2
    norm_vectors: int = 1
    qk_norm: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_matrices: int = 3
    mlp_bias: bool = False
    router_bias: bool = False
    has_sinks: bool = False
    has_shared_gate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A model's shape, as its config.json tells.

    Attributes:
        model_type: Family, as config.json names it.
        hidden_size: Width of a token between layers.
        intermediate_size: Width within the feed-forward network of layers without experts.
        vocab_size: Tokens that are known.
        num_heads: Heads of queries.
        num_kv_heads: Heads of keys and values; fewer than `num_heads` with grouped-query attention (GQA).
        head_dim: Width of a head.
        full_layers: Layers whose attention keeps every token.
        sliding_layers: Layers whose attention keeps the last `sliding_window` tokens.
        sliding_window: How many those are; None without such layers.
        recurrent: Layers that keep a state instead; None without such layers.
        latent: Set with latent attention, which then replaces `num_kv_heads` and `head_dim` in the cache.
        experts: Set for a mixture of experts.
        max_model_len: Tokens of prompt and answer that it was made for.
        tie_word_embeddings: Whether the output layer is the embedding.
        positions: Learned embeddings of positions; 0 with rotary ones.
        token_types: Learned embeddings of token types.
        has_pooler: Whether a dense layer follows the last one.
        dtype: Of its weights.
        kind: Whether it generates, or pools.
        is_causal: Whether tokens see only those before them. Then vLLM reads a text in pieces and keeps a
            cache, for models that pool as well.
        quantization: How its linear weights are stored; None: in `dtype`.
        traits: What its family adds.
    """

    model_type: str
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    full_layers: int
    sliding_layers: int = 0
    sliding_window: int | None = None
    recurrent: RecurrentState | None = None
    latent: LatentAttention | None = None
    experts: Experts | None = None
    max_model_len: int
    tie_word_embeddings: bool = False
    positions: int = 0
    token_types: int = 0
    has_pooler: bool = False
    dtype: str = "bfloat16"
    kind: Kind = "generate"
    is_causal: bool = True
    quantization: Quantization | None = None
    traits: Traits = Traits()

    @property
    def num_layers(self) -> int:
        """All layers."""
        return self.full_layers + self.sliding_layers + (self.recurrent.num_layers if self.recurrent else 0)

    @property
    def keeps_cache(self) -> bool:
        """Whether it keeps anything from one token to the next.

        Source: vLLM 0.32, AttentionType.ENCODER_ONLY, whose layers have no cache; all others have one.
        """
        return self.is_causal
