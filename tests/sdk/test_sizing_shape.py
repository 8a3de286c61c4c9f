"""A config.json read into a shape: families, windows, hybrids, quantisation, and nonsense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas.sizing import (
    SizingError,
    Split,
    cache_layout,
    count_parameters,
    find_model,
    kv_bytes_per_token,
    quantization,
    read_config,
)
from sdk.sizing_shapes import LLAMA, QWEN3_6_35B_A3B

MLA = LLAMA | {
    "model_type": "deepseek_v3",
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "q_lora_rank": 1536,
}


def layers_of(config: dict[str, Any]) -> tuple[int, int, int | None]:
    shape = read_config(config)
    return shape.full_layers, shape.sliding_layers, shape.sliding_window


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (LLAMA, (32, 0, None)),
        (LLAMA | {"sliding_window": None}, (32, 0, None)),
        (LLAMA | {"sliding_window": 4096}, (0, 32, 4096)),
        (LLAMA | {"sliding_window": 4096, "use_sliding_window": False}, (32, 0, None)),
        (
            LLAMA | {"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 20},
            (20, 12, 4096),
        ),
        (LLAMA | {"model_type": "gemma2", "sliding_window": 4096}, (16, 16, 4096)),
        (LLAMA | {"sliding_window": 512, "sliding_window_pattern": 6}, (5, 27, 512)),
        (
            LLAMA | {"layer_types": ["sliding_attention", "full_attention"] * 16, "sliding_window": 128},
            (16, 16, 128),
        ),
        (
            LLAMA
            | {
                "layer_types": ["chunked_attention"] * 24 + ["full_attention"] * 8,
                "attention_chunk_size": 8192,
            },
            (8, 24, 8192),
        ),
    ],
    ids=str,
)
def test_layers_are_counted_by_what_they_keep(config: dict[str, Any], layers: Any) -> None:
    assert layers_of(config) == layers


@pytest.mark.parametrize(
    "config",
    [
        {"layer_types": ["linear_attention"] * 24 + ["full_attention"] * 8},
        {"full_attention_interval": 4},
    ],
)
def test_gated_delta_net_layers_keep_a_state(config: dict[str, Any]) -> None:
    linear = {name: QWEN3_6_35B_A3B[name] for name in QWEN3_6_35B_A3B if name.startswith("linear")}
    shape = read_config(LLAMA | linear | config)
    assert (shape.full_layers, shape.num_layers) == (8, 32)
    assert shape.recurrent is not None
    assert shape.recurrent.num_layers == 24
    assert shape.recurrent.conv_numbers == (2 * 16 * 128 + 32 * 128) * 3
    assert shape.recurrent.state_numbers == 32 * 128 * 128


@pytest.mark.parametrize(
    "config",
    [
        {"layers_block_type": ["mamba"] * 28 + ["attention"] * 4},
        {"hybrid_override_pattern": "M-" * 28 + "*-" * 4},
    ],
)
def test_mamba_layers_keep_a_state(config: dict[str, Any]) -> None:
    mamba = {
        "mamba_n_heads": 48,
        "mamba_d_head": 64,
        "mamba_d_state": 128,
        "mamba_n_groups": 1,
        "mamba_d_conv": 4,
    }
    shape = read_config(LLAMA | mamba | config)
    assert shape.full_layers == 4
    assert shape.recurrent is not None
    assert shape.recurrent.num_layers == 28
    assert shape.recurrent.conv_numbers == (48 * 64 + 2 * 128) * 3
    assert shape.recurrent.state_numbers == 48 * 64 * 128


def test_hybrid_without_the_sizes_of_its_state_says_which_are_missing() -> None:
    with pytest.raises(SizingError, match="mamba_d_state or ssm_state_size is missing"):
        read_config(LLAMA | {"layers_block_type": ["mamba"] * 32})


def test_multimodal_config_is_read_in_its_text_part() -> None:
    shape = read_config(
        {"model_type": "gemma3", "text_config": LLAMA | {"head_dim": 256}, "dtype": "float16"}
    )
    assert (shape.hidden_size, shape.head_dim, shape.dtype) == (4096, 256, "bfloat16")


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("LlamaForCausalLM", "generate"),
        ("Gemma3ForConditionalGeneration", "generate"),
        ("LlamaModel", "pooling"),
        ("Qwen3ForSequenceClassification", "pooling"),
    ],
)
def test_architecture_says_what_a_model_is_for(architecture: str, kind: str) -> None:
    assert read_config(LLAMA | {"architectures": [architecture]}).kind == kind


def test_roberta_counts_its_positions_from_behind_the_padding() -> None:
    assert find_model("BAAI/bge-m3").shape.max_model_len == 8192
    assert find_model("BAAI/bge-large-en-v1.5").shape.max_model_len == 512


@pytest.mark.parametrize(
    ("stored", "name", "bytes_per_weight"),
    [
        ({"quant_method": "fp8"}, "fp8", 1.0),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 1 + 4 / 16384),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4", 0.5 + 20 / 128 / 8),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8", 1.0),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 1.0),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", 0.5 + 32 / 64 / 8),
        ({"quant_method": "mxfp4"}, "mxfp4", 4.25 / 8),
        ({"quant_algo": "NVFP4", "quant_method": "modelopt"}, "nvfp4", 4.5 / 8),
        ({"quant_algo": "FP8", "quant_method": "modelopt"}, "fp8", 1.0),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
            1.0,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "g": {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}}
                },
            },
            "int4",
            0.5 + 16 / 128 / 8,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "nvfp4-pack-quantized",
                "config_groups": {
                    "g": {
                        "weights": {
                            "num_bits": 4,
                            "type": "float",
                            "strategy": "tensor_group",
                            "group_size": 16,
                        }
                    }
                },
            },
            "fp4",
            0.5 + 8 / 16 / 8,
        ),
    ],
    ids=str,
)
def test_quantisation_is_read_with_its_scales(
    stored: dict[str, Any], name: str, bytes_per_weight: float
) -> None:
    found = read_config(LLAMA | {"quantization_config": stored}).quantization
    assert found is not None
    assert found.name == name
    assert found.bytes_per_weight == pytest.approx(bytes_per_weight)
    assert not found.at_load


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "num_attention_heads is missing"),
        (LLAMA | {"hidden_size": None}, "hidden_size is missing"),
        (
            LLAMA | {"hidden_size": "4096"},
            "hidden_size must be a whole number from 1 to 1000000000, not '4096'",
        ),
        (LLAMA | {"hidden_size": True}, "hidden_size must be a whole number"),
        (LLAMA | {"hidden_size": 0}, "hidden_size must be a whole number from 1"),
        (LLAMA | {"vocab_size": 10**12}, "vocab_size must be a whole number"),
        (LLAMA | {"max_position_embeddings": -1}, "max_position_embeddings must be a whole number"),
        (LLAMA | {"num_hidden_layers": 1.5}, "num_hidden_layers must be a whole number"),
        (LLAMA | {"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        (LLAMA | {"layer_types": "full"}, "layer_types must be a list of words"),
        (LLAMA | {"layer_types": [1]}, "layer_types must be a list of words"),
        (LLAMA | {"quantization_config": "fp8"}, "quantization_config must be an object"),
        (
            LLAMA | {"quantization_config": {"quant_method": "magic"}},
            "'magic' is not known; known are fp8, awq",
        ),
        (
            LLAMA | {"quantization_config": {"quant_method": "awq", "bits": "four"}},
            "bits must be a whole number",
        ),
        (LLAMA | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [0]}}, "list of sizes"),
        (LLAMA | {"num_key_value_heads": 0}, "num_key_value_heads must be a whole number from 1"),
        (LLAMA | {"head_dim": 0}, "head_dim must be a whole number from 1"),
        (
            LLAMA | {"num_local_experts": 8, "num_experts_per_tok": 10**9},
            "1000000000 experts work on a token, and a layer has 8",
        ),
        ([], "must hold an object"),
    ],
    ids=str,
)
def test_config_that_makes_no_sense_is_refused_by_field(config: Any, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        read_config(config)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60)
@given(st.sampled_from(sorted({*LLAMA, *MLA, *QWEN3_6_35B_A3B, "quantization_config", "layer_types"})), _JSON)
def test_any_value_in_any_field_is_a_shape_or_an_error_of_ours(field: str, value: Any) -> None:
    try:
        shape = read_config(QWEN3_6_35B_A3B | MLA | {field: value})
    except SizingError:
        return
    assert count_parameters(shape).total > 0


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        (LLAMA, {}, 131072),
        (LLAMA, {"tensor_parallel_size": 4}, 131072 // 4),
        (LLAMA, {"tensor_parallel_size": 16}, 131072 // 8),
        (LLAMA, {"kv_cache_dtype": "fp8"}, 131072 // 2),
        (LLAMA, {"dtype": "float32"}, 131072 * 2),
        (MLA, {}, 32 * (512 + 64) * 2),
        (MLA, {"tensor_parallel_size": 8}, 32 * (512 + 64) * 2),
    ],
    ids=str,
)
def test_bytes_that_a_token_leaves_on_a_gpu(config: dict[str, Any], options: Any, expected: int) -> None:
    assert kv_bytes_per_token(read_config(config), **options) == expected


def test_window_caps_what_a_long_sequence_takes() -> None:
    shape = find_model("openai/gpt-oss-20b").shape
    layout = cache_layout(shape, max_num_batched_tokens=2048)
    # 12 full and 12 sliding layers in two groups; the window of 128 and two steps of 2,048 tokens in flight
    assert (layout.full_groups, layout.sliding_groups, layout.window) == (1, 1, 127 + 4096)
    assert layout.sequence_blocks(131072) == 131072 // 16 + (4223 // 16 + 1) + 1
    assert layout.sequence_blocks(131072) * layout.block_bytes / 2**30 == pytest.approx(3.10, abs=0.01)


def test_kinds_that_are_nearly_as_many_share_groups_of_the_larger_size() -> None:
    config = LLAMA | {
        "layer_types": ["full_attention"] * 13 + ["sliding_attention"] * 12,
        "sliding_window": 128,
    }
    layout = cache_layout(read_config(config))
    assert (layout.full_groups, layout.sliding_groups) == (1, 1)
    assert layout.block_bytes == 13 * 16 * 4096


def test_block_of_a_hybrid_holds_the_whole_state() -> None:
    """Log of vLLM 0.24 with this model and an fp8 cache (noonghunna/club-3090#612)."""
    layout = cache_layout(read_config(QWEN3_6_35B_A3B), kv_cache_dtype="fp8")
    assert (layout.block_size, layout.full_groups, layout.state_groups) == (2096, 1, 3)


def test_pipeline_stage_has_its_share_of_each_kind() -> None:
    shape = find_model("openai/gpt-oss-20b").shape
    layout = cache_layout(shape, Split(1, 2))
    assert layout.block_bytes == cache_layout(shape).block_bytes // 2


def test_model_that_pools_keeps_no_cache() -> None:
    layout = cache_layout(find_model("BAAI/bge-m3").shape)
    assert layout.blocks(10**12) == layout.sequence_blocks(100) == 0
    assert layout.sequences(10**12, 100) == 0


@settings(max_examples=60)
@given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(10**6, 10**11))
def test_longer_sequences_never_take_less_and_more_memory_never_holds_fewer(
    first: int, second: int, available: int
) -> None:
    layout = cache_layout(find_model("google/gemma-3-27b-it").shape)
    shorter, longer = sorted((first, second))
    assert layout.sequence_blocks(shorter) <= layout.sequence_blocks(longer)
    assert layout.sequences(available, longer) <= layout.sequences(2 * available, longer)
    longest = layout.longest(available, 131072)
    assert longest == 0 or layout.sequence_blocks(longest) <= layout.blocks(available)
    assert longest == 131072 or layout.sequence_blocks(longest + 1) > layout.blocks(available)


@pytest.mark.parametrize("kv_cache_dtype", ["int3", ""])
def test_unknown_kv_dtype_names_those_that_are_known(kv_cache_dtype: str) -> None:
    with pytest.raises(SizingError, match="give auto or one of fp8"):
        kv_bytes_per_token(read_config(LLAMA), kv_cache_dtype=kv_cache_dtype)


def test_unknown_quantisation_names_those_that_are_known() -> None:
    with pytest.raises(SizingError, match="give one of fp8, int8, int4"):
        quantization("int2")
