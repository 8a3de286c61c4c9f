"""Sizes held against the real engine: its cache, its weights, and its own parser of flags."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from e2e.live_gateway import CHAT, LiveGateway, command_line
from lmaas.sizing import (
    EngineSettings,
    Fit,
    Hardware,
    cache_layout,
    find_model,
    fit,
    quantization,
    serve_flags,
    weight_bytes,
)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

_CACHE_LINE = re.compile(r"CPU KV cache size: ([\d,]+) tokens")
_CPU_BLOCK_TOKENS = 128  # of vLLM's CPU build
_PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
print(json.dumps([vars(parser.parse_args(words)) for words in json.load(sys.stdin)], default=str))
"""


def argument(words: list[bytes], flag: str) -> str:
    return words[words.index(flag.encode()) + 1].decode()


def test_tokens_of_cache_are_those_of_the_engines_own_log(gateway: LiveGateway) -> None:
    words = command_line(gateway.api_server_of(CHAT))
    log = next(gateway.runtime_dir.glob(f"{CHAT}-*.log")).read_text("utf-8", "replace")
    logged = int(_CACHE_LINE.findall(log)[-1].replace(",", ""))
    model = find_model(Path(argument(words, "--model")))
    layout = cache_layout(model.shape, dtype=argument(words, "--dtype"), block_size=_CPU_BLOCK_TOKENS)
    available = int(argument(words, "--kv-cache-memory-bytes"))
    tokens = layout.tokens(available, int(argument(words, "--max-model-len")))
    assert tokens == pytest.approx(logged, rel=0.05)


def test_weights_are_those_that_the_engine_was_given(gateway: LiveGateway) -> None:
    folder = Path(argument(command_line(gateway.api_server_of(CHAT)), "--model"))
    model = find_model(folder)
    assert weight_bytes(model, "float32") == 4 * model.parameters.total == 4 * 134_515_008
    on_disk = (folder / "model.safetensors").stat().st_size
    assert weight_bytes(model, "float32") == pytest.approx(on_disk, rel=0.001)


def every_flag() -> list[Fit]:
    settings = EngineSettings(
        tensor_parallel_size=2,
        pipeline_parallel_size=2,
        max_model_len=8192,
        gpu_memory_utilization=0.9,
        max_num_seqs=64,
        max_num_batched_tokens=4096,
        dtype="float16",
        kv_cache_dtype="fp8",
        enforce_eager=True,
    )
    model = find_model("meta-llama/Llama-3.1-8B-Instruct").quantized(quantization("fp8"))
    return [
        fit(model, Hardware.parse("H100x4"), settings),
        fit(find_model("BAAI/bge-m3"), Hardware.parse("T4")),
    ]


def test_vllm_reads_every_flag_as_it_was_meant(engine_python: str) -> None:
    flags = [serve_flags(one) for one in every_flag()]
    done = subprocess.run(
        [engine_python, "-c", _PARSE],
        input=json.dumps(flags),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    generating, pooling = json.loads(done.stdout.splitlines()[-1])
    expected: dict[str, Any] = {
        "model_tag": "meta-llama/Llama-3.1-8B-Instruct",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 2,
        "max_model_len": 8192,
        "gpu_memory_utilization": 0.9,
        "max_num_seqs": 64,
        "max_num_batched_tokens": 4096,
        "dtype": "float16",
        "quantization": "fp8",
        "kv_cache_dtype": "fp8",
        "enforce_eager": True,
    }
    assert {name: generating[name] for name in expected} == expected
    assert (pooling["runner"], pooling["dtype"]) == ("pooling", "float16")
