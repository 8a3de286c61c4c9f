"""Sizes held against what vLLM wrote when it started: published logs, within 5 %."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmaas.sizing import (
    EngineSettings,
    Fit,
    Hardware,
    Model,
    Split,
    cache_layout,
    count_parameters,
    find_model,
    fit,
    gpu_weight_bytes,
    quantization,
    read_config,
)
from sdk.sizing_shapes import BY_NAME

GIB = 2**30
LOGS = json.loads((Path(__file__).parent / "data" / "vllm_startup_logs.json").read_text("utf-8"))["logs"]


def logs_with(*fields: str) -> list[Any]:
    return [pytest.param(log, id=log["id"]) for log in LOGS if all(field in log for field in fields)]


def model_of(log: dict[str, Any]) -> Model:
    if "config" in log:
        shape = read_config(BY_NAME[log["config"]])
        model = Model(
            name=log["config"],
            shape=shape,
            parameters=count_parameters(shape),
            source="tests/sdk/sizing_shapes",
        )
    else:
        model = find_model(log["model"])
    return model.quantized(quantization(log["quantization"])) if "quantization" in log else model


def split_of(log: dict[str, Any]) -> Split:
    return Split(log.get("tp", 1), log.get("pp", 1))


def fit_of(log: dict[str, Any]) -> Fit:
    split = split_of(log)
    settings = EngineSettings(
        tensor_parallel_size=split.tensor,
        pipeline_parallel_size=split.pipeline,
        gpu_memory_utilization=log["util"],
        max_model_len=log["max_model_len"],
        dtype=log.get("dtype", "auto"),
        kv_cache_dtype=log.get("kv_cache_dtype", "auto"),
        enforce_eager=True,  # before 0.21, vLLM set no memory aside for CUDA graphs
    )
    hardware = Hardware.parse(f"{log['gpu']}x{split.gpus}")
    assert hardware.accelerator.memory_bytes / GIB == pytest.approx(log["total_gib"], abs=0.01)
    return fit(model_of(log), hardware, settings)


def test_each_log_says_where_it_is_published() -> None:
    assert len({log["source"] for log in LOGS}) >= 10
    assert all(log["source"].startswith("https://") for log in LOGS)


@pytest.mark.parametrize("log", logs_with("available_gib", "tokens"))
def test_tokens_of_cache_are_those_that_the_log_makes_of_the_same_memory(log: dict[str, Any]) -> None:
    shape = model_of(log).shape
    layout = cache_layout(
        shape,
        split_of(log),
        dtype=log.get("dtype"),
        kv_cache_dtype=log.get("kv_cache_dtype", "auto"),
    )
    tokens = layout.tokens(int(log["available_gib"] * GIB), log.get("max_model_len", 8192))
    assert tokens == pytest.approx(log["tokens"], rel=0.015)


@pytest.mark.parametrize("log", logs_with("weights_gib"))
def test_weights_on_a_gpu_are_those_of_the_log(log: dict[str, Any]) -> None:
    weights = gpu_weight_bytes(model_of(log), log.get("dtype", "bfloat16"), split_of(log))
    assert weights / GIB == pytest.approx(log["weights_gib"], rel=0.025)


@pytest.mark.parametrize("log", logs_with("total_gib", "available_gib"))
def test_room_for_the_cache_is_that_of_the_log(log: dict[str, Any]) -> None:
    stage = fit_of(log).stages[0]
    assert stage.cache_bytes / GIB == pytest.approx(log["available_gib"], rel=0.03)


@pytest.mark.parametrize("log", logs_with("total_gib", "tokens"))
def test_tokens_worked_out_from_model_and_gpu_alone_are_those_of_the_log(log: dict[str, Any]) -> None:
    assert fit_of(log).cache_tokens == pytest.approx(log["tokens"], rel=0.03)


@pytest.mark.parametrize("log", logs_with("activations_gib"))
def test_activations_and_what_is_outside_are_near_those_of_the_log(log: dict[str, Any]) -> None:
    runtime = fit_of(log).stages[0].runtime
    assert runtime.activations / GIB == pytest.approx(log["activations_gib"], rel=0.15)
    assert runtime.outside / GIB == pytest.approx(log["outside_gib"], abs=0.2)


@pytest.mark.parametrize(
    ("model", "gpu", "settings", "graphs_gib"),
    [
        pytest.param("Qwen/Qwen3-8B", "RTX4090", {}, 0.52, id="LMCache/LMCache#3430"),
        pytest.param("meta-llama/Llama-3.1-8B-Instruct", "H100", {}, 0.84, id="llm-d-planner"),
    ],
)
def test_cuda_graphs_are_within_the_doubt_that_is_told(
    model: str, gpu: str, settings: dict[str, Any], graphs_gib: float
) -> None:
    graphs = fit(
        find_model(model), Hardware.parse(gpu), EngineSettings(**settings)
    ).tightest.runtime.cuda_graphs
    assert graphs / GIB == pytest.approx(graphs_gib, rel=0.4)


def test_interval_of_the_tokens_holds_what_vllm_found() -> None:
    """LMCache/LMCache#3430: 46,368 tokens on a GPU of 23.53 GiB."""
    settings = EngineSettings(gpu_memory_utilization=0.9764, max_model_len=16384)
    tokens = fit(find_model("Qwen/Qwen3-8B"), Hardware.parse("RTX4090"), settings).evidence()
    assert tokens.low is not None
    assert tokens.high is not None
    assert tokens.low <= 46368 <= tokens.high
    assert tokens.value == pytest.approx(46368, rel=0.05)
