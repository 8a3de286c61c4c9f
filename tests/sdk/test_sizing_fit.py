"""Does it fit, with what room, by which command, and what would make it fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lmaas.evidence import Grade
from lmaas.selection._candidate import Fit as SelectionFit
from lmaas.sizing import (
    EngineSettings,
    Fit,
    Hardware,
    SizingError,
    _cost,
    _kv_cache,
    _layers,
    _parameters,
    _quantization,
    _runtime,
    _settings,
    _speed,
    _split,
    accelerator,
    accelerators,
    find_model,
    fit,
    models_that_fit,
    quantization,
    read_config,
    replicas_needed,
    serve_command,
    smallest_good_enough,
    ways_to_fit,
)
from sdk.sizing_fits import LLAMA_8B, LLAMA_70B, sized
from sdk.sizing_shapes import LLAMA


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("L4", "L4", 1),
        ("h100x8", "H100", 8),
        ("8xH100", "H100", 8),
        ("8 x a100-80gb", "A100-80GB", 8),
        ("RTX4090*2", "RTX4090", 2),
        ("rtx4090", "RTX4090", 1),
        ("2x rtx4090", "RTX4090", 2),
        ("mi300xx8", "MI300X", 8),
        ("A100", "A100-80GB", 1),
        (" MI300X x 4 ", "MI300X", 4),
        ("B200\u00d78", "B200", 8),
    ],
)
def test_hardware_is_read_from_a_word(text: str, name: str, count: int) -> None:
    hardware = Hardware.parse(text)
    assert (hardware.accelerator.name, hardware.count) == (name, count)
    assert Hardware.parse(str(hardware)) == hardware


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "H1000",
            "'H1000' is not known; write it as H100x8; known are H100, H200, B200, A100-80GB, A100-40GB, L4",
        ),
        ("", "accelerator '' is not known; write it as H100x8; known are H100"),
        ("2xH100x4", "accelerator '2xH100x4' is not known"),
        ("H100x0", "1 to 4096 accelerators, not 0"),
        ("H100x99999", "1 to 4096 accelerators, not 99999"),
        ("H100x" + "9" * 5000, "is not known"),
    ],
)
def test_hardware_that_is_none_is_refused_with_what_is_known(text: str, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        Hardware.parse(text)


def test_each_accelerator_says_where_its_figures_and_its_price_come_from() -> None:
    assert len(accelerators()) >= 11
    for one in accelerators():
        assert one.source.startswith("https://")
        assert one.memory_source
        assert one.memory_bytes > 14 * 2**30
        assert one.usd_per_hour.grade is Grade.C
        assert one.usd_per_hour.as_of is not None
        assert "https://" in one.usd_per_hour.source


def test_own_price_replaces_the_claim() -> None:
    price = Hardware.parse("L4x2").with_price(0.2, "our contract").accelerator.usd_per_hour
    assert (price.value, price.source) == (0.2, "our contract")


def test_budget_is_shared_out_to_the_byte() -> None:
    one = sized(LLAMA_8B, "L40S")
    stage = one.tightest
    assert one.budget_bytes == int(accelerator("L40S").memory_bytes * 0.92)
    assert stage.weights_bytes + stage.runtime.total + stage.cache_bytes == one.budget_bytes


def test_fewest_gpus_that_hold_the_model_are_taken_and_the_rest_are_copies() -> None:
    one = sized(LLAMA_70B, "H100x8", 32768)
    assert (one.fits, one.engine.split.tensor, one.replicas) == (True, 4, 2)
    assert sized(LLAMA_8B, "H100x8").replicas == 8


def test_longest_sequence_is_what_the_cache_holds_or_the_model_was_made_for() -> None:
    small, large = sized(LLAMA_8B, "L4"), sized(LLAMA_8B, "H200")
    assert small.max_model_len == small.cache_tokens < 131072
    assert large.max_model_len == 131072 < large.cache_tokens
    assert small.sequences(small.max_model_len) == 1
    assert small.sequences(small.max_model_len // 4) == 4


def test_sequences_are_never_more_than_max_num_seqs() -> None:
    assert sized(LLAMA_8B, "H200", max_num_seqs=7).sequences(100) == 7


def test_what_is_missing_is_told_in_bytes() -> None:
    one = sized(LLAMA_8B, "L4", max_model_len=131072)
    assert not one.fits
    assert one.sequences(100) == 0
    needed = 131072 * one.kv_bytes_per_token
    assert one.missing_bytes == needed - one.tightest.cache_bytes > 0


def test_fit_is_what_a_choice_among_candidates_takes() -> None:
    """`lmaas.selection` rules candidates out by it."""
    for gpu, said in (("H100", "fits H100, with 54.5"), ("T4", "does not fit T4: ")):
        found: SelectionFit = sized(LLAMA_8B, gpu, max_model_len=4096)
        assert found.reason.startswith(said)


def test_spare_is_what_is_left_beside_one_sequence() -> None:
    one = sized(LLAMA_8B, "L4", max_model_len=8192)
    assert one.fits
    assert -one.missing_bytes == one.tightest.cache_bytes - 8192 * 131072


def test_pipeline_is_as_tight_as_its_tightest_stage() -> None:
    one = sized(LLAMA_8B, "L4x2", pipeline_parallel_size=2)
    assert len(one.stages) == 2
    assert one.tightest is one.stages[1]  # it samples
    assert one.cache_tokens == min(
        stage.layout.tokens(stage.cache_bytes, one.max_model_len) for stage in one.stages
    )


@pytest.mark.parametrize(
    ("settings", "gpu", "said"),
    [
        ({"tensor_parallel_size": 3}, "H100x8", "these work: 1, 2, 4, 8, 16, 32"),
        ({"tensor_parallel_size": 4}, "H100x2", "parallel size is 4, and H100x2 has 2"),
        ({"pipeline_parallel_size": 4}, "H100x2", "--pipeline-parallel-size 4: H100x2 has 2"),
        ({"max_model_len": 131073}, "H100", "--max-model-len 131073: the model was made for at most 131072"),
        ({"dtype": "int8"}, "H100", "dtype 'int8' is not known; give one of float32, bfloat16, float16"),
        ({"kv_cache_dtype": "int8"}, "H100", "KV cache dtype 'int8' is not known"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], gpu: str, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        sized(LLAMA_8B, gpu, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"gpu_memory_utilization": 0},
        {"gpu_memory_utilization": 1.1},
        {"max_num_seqs": 0},
        {"max_model_len": -1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SizingError, match=next(iter(settings))):
        EngineSettings(**settings)


def test_sequence_longer_than_the_model_is_refused() -> None:
    with pytest.raises(SizingError, match="a sequence of 200000: the model was made for at most 131072"):
        sized(LLAMA_8B, "H100", 200_000)


@pytest.mark.parametrize("tokens", [0, -5])
def test_sequence_of_no_tokens_is_refused(tokens: int) -> None:
    with pytest.raises(SizingError, match=f"a sequence of {tokens} tokens: give 1 or more"):
        sized(LLAMA_8B, "H100", tokens)


def test_doubt_about_the_runtime_is_the_interval_of_the_tokens() -> None:
    tokens = sized(LLAMA_8B, "L4").evidence()
    assert tokens.grade is Grade.D
    assert tokens.low is not None
    assert tokens.high is not None
    assert tokens.low < tokens.value < tokens.high
    eager = sized(LLAMA_8B, "L4", enforce_eager=True).evidence()
    assert eager.high is not None
    assert eager.low is not None
    assert eager.high - eager.low < tokens.high - tokens.low


def test_model_that_pools_needs_no_cache_and_reads_whole_texts() -> None:
    one = sized("BAAI/bge-m3", "T4")
    assert one.fits
    assert one.cache_tokens == 0
    assert one.engine.max_num_batched_tokens == 8192
    assert one.sequences(512) == one.engine.max_num_seqs


@pytest.mark.parametrize(
    ("gpu", "seqs", "tokens"),
    [("L4", 256, 2048), ("A100-80GB", 256, 2048), ("H100", 1024, 8192), ("B200", 1024, 16384)],
)
def test_open_batch_sizes_are_those_that_vllm_takes(gpu: str, seqs: int, tokens: int) -> None:
    engine = sized("Qwen/Qwen3-0.6B", gpu).engine
    assert (engine.max_num_seqs, engine.max_num_batched_tokens) == (seqs, tokens)


def test_dtype_is_the_models_own_but_for_cards_without_bfloat16_and_float32() -> None:
    assert sized("Qwen/Qwen3-0.6B", "L4").engine.dtype == "bfloat16"
    assert sized("Qwen/Qwen3-0.6B", "T4").engine.dtype == "float16"
    assert sized("BAAI/bge-m3", "L4").engine.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("name", "gpu", "settings", "command"),
    [
        (LLAMA_8B, "H200", {}, f"vllm serve {LLAMA_8B}"),
        (LLAMA_8B, "L4", {"max_model_len": 8192}, f"vllm serve {LLAMA_8B} --max-model-len 8192"),
        ("Qwen/Qwen3-0.6B", "T4", {}, "vllm serve Qwen/Qwen3-0.6B --dtype float16"),
        ("BAAI/bge-m3", "L4", {}, "vllm serve BAAI/bge-m3 --dtype bfloat16 --runner pooling"),
        (
            LLAMA_70B,
            "H100x8",
            {
                "tensor_parallel_size": 4,
                "pipeline_parallel_size": 2,
                "gpu_memory_utilization": 0.9,
                "max_num_seqs": 64,
                "max_num_batched_tokens": 4096,
                "kv_cache_dtype": "fp8",
                "enforce_eager": True,
            },
            f"vllm serve {LLAMA_70B} --tensor-parallel-size 4 --pipeline-parallel-size 2 "
            "--gpu-memory-utilization 0.9 --max-num-seqs 64 --max-num-batched-tokens 4096 "
            "--kv-cache-dtype fp8 --enforce-eager",
        ),
    ],
)
def test_command_has_the_flags_that_differ_from_what_vllm_does(
    name: str, gpu: str, settings: dict[str, Any], command: str
) -> None:
    assert serve_command(sized(name, gpu, **settings)) == command


def test_command_asks_for_quantisation_only_where_vllm_makes_it() -> None:
    model, hardware = find_model(LLAMA_8B), Hardware.parse("H100")
    assert "--quantization fp8" in serve_command(fit(model.quantized(quantization("fp8")), hardware))
    assert "--quantization" not in serve_command(fit(model.quantized(quantization("int4")), hardware))


def test_command_quotes_what_a_shell_would_split() -> None:
    model = replace(find_model(LLAMA_8B), name="my models/a;b")
    assert serve_command(fit(model, Hardware.parse("H200"))) == "vllm serve 'my models/a;b'"


def test_ways_to_fit_are_tried_before_they_are_told() -> None:
    one = sized(LLAMA_70B, "H100", 1000)
    assert ways_to_fit(one, 1000) == [
        "--quantization fp8 (check quality)",
        "a checkpoint in int8 (check quality)",
        "a checkpoint in int4 (check quality)",
        "H100x2: --tensor-parallel-size 2",
    ]
    assert not ways_to_fit(sized(LLAMA_8B, "H100"))


def test_ways_to_fit_begin_with_the_least_change() -> None:
    ways = ways_to_fit(sized(LLAMA_8B, "L4", max_model_len=65536))
    assert ways[0].startswith("--max-model-len ")
    assert ways[1] == "--kv-cache-dtype fp8 (half the cache a token; check quality)"
    assert ways[-1] == "L4x2: --tensor-parallel-size 2"


def test_model_that_fits_nowhere_has_no_way() -> None:
    model = replace(find_model(LLAMA_8B), shape=read_config(LLAMA | {"num_attention_heads": 31}))
    one = fit(model, Hardware.parse("T4"), EngineSettings(max_num_seqs=100_000))
    assert not one.fits
    assert ways_to_fit(one) == []


def test_largest_model_that_fits_comes_first() -> None:
    found = models_that_fit(Hardware.parse("L4"), sequence_tokens=4096)
    sizes = [one.model.parameters.total for one in found]
    assert sizes == sorted(sizes, reverse=True)
    assert found[0].model.name == "openai/gpt-oss-20b"
    assert all(one.fits and one.sequences(4096) >= 1 for one in found)
    assert not any(one.model.shape.kind == "pooling" for one in found)


def test_models_that_settings_do_not_suit_are_left_out() -> None:
    settings = EngineSettings(tensor_parallel_size=8)
    names = {one.model.name for one in models_that_fit(Hardware.parse("H100x8"), settings=settings)}
    assert LLAMA_8B in names
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" not in names  # its 9 heads


@pytest.mark.parametrize(
    "formula",
    [
        Fit.sequences,
        fit,
        smallest_good_enough,
        replicas_needed,
        _cost.costs,
        _kv_cache.CacheLayout,
        _kv_cache._group_size,
        _kv_cache._state_block_size,
        _kv_cache.kv_bytes_per_token,
        _layers._recurrent,
        _parameters.count_parameters,
        _quantization.Quantization.bytes_per_weight,
        _runtime._expert_workspace,
        _runtime.activation_bytes,
        _runtime.cuda_graph_bytes,
        _runtime.outside_bytes,
        _settings.resolve,
        _speed._exchange_s,
        _speed.decode_step_s,
        _speed.prefill_s,
        _split.active_parameters,
        _split.check_split,
        _split.gpu_weight_bytes,
        _split.stage_layers,
        _split.weight_bytes,
    ],
    ids=lambda formula: getattr(formula, "__qualname__", "property"),
)
def test_every_formula_names_its_source(formula: object) -> None:
    assert "Source: " in (formula.__doc__ or "")
