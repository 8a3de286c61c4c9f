"""A config.json read into a `ModelShape`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmaas.sizing._bytes import dtype_name
from lmaas.sizing._errors import SizingError
from lmaas.sizing._fields import Fields
from lmaas.sizing._layers import read_layers
from lmaas.sizing._quantization import read_quantization
from lmaas.sizing._shape import Experts, Kind, LatentAttention, ModelShape, Traits

_ENCODERS = frozenset({"bert", "roberta", "xlm-roberta"})
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta"})  # their positions begin behind the padding's
_ENCODER = Traits(norm_vectors=2, qkv_bias=True, output_bias=True, mlp_matrices=2, mlp_bias=True)
_TRAITS = {
    "qwen2": Traits(qkv_bias=True),
    "qwen2_moe": Traits(qkv_bias=True, has_shared_gate=True),
    "qwen3": Traits(qk_norm=True),
    "qwen3_moe": Traits(qk_norm=True),
    "gemma2": Traits(norms_per_layer=4),
    "gemma3_text": Traits(norms_per_layer=4, qk_norm=True),
    "deepseek_v3": Traits(router_bias=True),
    "gpt_oss": Traits(qkv_bias=True, output_bias=True, mlp_bias=True, router_bias=True, has_sinks=True),
    **dict.fromkeys(_ENCODERS, _ENCODER),
}
_POOLING_SUFFIXES = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")


def read_config(config: Mapping[str, Any], *, kind: Kind | None = None) -> ModelShape:
    """Read the fields that decide sizes.

    Args:
        config: A config.json; of a multimodal model, its text part is read.
        kind: Where the architecture does not tell, as with a Qwen3 made for embeddings.

    Raises:
        SizingError: a field is missing or makes no sense; the message names it.
    """
    if not isinstance(config, Mapping):
        raise SizingError("config.json must hold an object")
    text = _text_part(config)
    fields = Fields(text, "config.json")
    model_type = str(text.get("model_type", config.get("model_type", "")))
    heads, hidden = fields.whole("num_attention_heads"), fields.whole("hidden_size")
    positions = fields.whole("max_position_embeddings", "n_positions", "max_seq_len")
    layers = read_layers(fields, model_type)
    is_encoder = model_type in _ENCODERS
    return ModelShape(
        model_type=model_type,
        hidden_size=hidden,
        intermediate_size=fields.whole("intermediate_size", "ffn_hidden_size", default=4 * hidden),
        vocab_size=fields.whole("vocab_size"),
        num_heads=heads,
        num_kv_heads=fields.whole("num_key_value_heads", default=heads, lowest=1),
        head_dim=fields.whole("head_dim", default=max(hidden // heads, 1), lowest=1),
        full_layers=layers.full,
        sliding_layers=layers.sliding,
        sliding_window=layers.sliding_window,
        recurrent=layers.recurrent,
        latent=_latent(fields),
        experts=_experts(fields, layers.total),
        max_model_len=positions - 2 if model_type in _OFFSET_POSITIONS else positions,
        tie_word_embeddings=fields.flag("tie_word_embeddings", default=model_type.startswith("gemma")),
        positions=positions if is_encoder else 0,
        token_types=fields.whole("type_vocab_size", default=0) if is_encoder else 0,
        has_pooler=is_encoder,
        dtype=_dtype(text, config),
        kind=kind or _kind(config, is_encoder=is_encoder),
        is_causal=not is_encoder and fields.flag("is_causal", default=True),
        quantization=read_quantization(config) or read_quantization(text),
        traits=_TRAITS.get(model_type, Traits(qkv_bias=fields.flag("attention_bias"))),
    )


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("text_config", "llm_config", "language_config"):
        part = config.get(name)
        if isinstance(part, Mapping):
            return part
    return config


def _dtype(*configs: Mapping[str, Any]) -> str:
    for config in configs:
        named = config.get("dtype", config.get("torch_dtype"))
        if isinstance(named, str):
            return dtype_name(named)
    return "bfloat16"


def _kind(config: Mapping[str, Any], *, is_encoder: bool) -> Kind:
    named = config.get("architectures")
    architectures: Sequence[Any] = named if isinstance(named, list) else []
    pools = any(str(name).endswith(_POOLING_SUFFIXES) for name in architectures)
    return "pooling" if is_encoder or pools else "generate"


def _latent(fields: Fields) -> LatentAttention | None:
    if not fields.has("kv_lora_rank"):
        return None
    return LatentAttention(
        kv_lora_rank=fields.whole("kv_lora_rank"),
        qk_rope_head_dim=fields.whole("qk_rope_head_dim"),
        qk_nope_head_dim=fields.whole("qk_nope_head_dim"),
        v_head_dim=fields.whole("v_head_dim"),
        q_lora_rank=fields.whole("q_lora_rank") if fields.has("q_lora_rank") else None,
    )


def _experts(fields: Fields, num_layers: int) -> Experts | None:
    count = fields.whole("n_routed_experts", "num_local_experts", "num_experts", default=0)
    if count < 2:
        return None
    per_token = fields.whole("num_experts_per_tok", "num_experts_per_token", "top_k")
    if per_token > count:
        raise SizingError(f"config.json: {per_token} experts work on a token, and a layer has {count}")
    size = fields.whole("moe_intermediate_size", "intermediate_size")
    shared = fields.whole("shared_expert_intermediate_size", default=0)
    dense_first = fields.whole("first_k_dense_replace", default=0)
    return Experts(
        count=count,
        per_token=per_token,
        intermediate_size=size,
        shared_intermediate_size=shared or size * fields.whole("n_shared_experts", default=0),
        num_layers=max(num_layers - dense_first - fields.length("mlp_only_layers"), 1),
    )
