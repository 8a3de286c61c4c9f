"""`lmaas size`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmaas.cli import main
from sdk.sizing_shapes import LLAMA

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["size", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    return dict(json.loads(run(capsys, *arguments, "--json")[1]))


def test_tables_tell_verdict_memory_room_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, LLAMA_8B, "--gpu", "L4")
    assert code == 0
    assert "Llama-3.1-8B-Instruct fits L4" in out
    assert "14.96" in out
    assert "131,072" in out
    assert out.endswith("vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 36288\n")


def test_model_that_does_not_fit_is_told_what_would_and_exits_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "meta-llama/Llama-3.3-70B-Instruct", "--gpu", "H100")
    assert code == 1
    assert "does not fit H100" in out
    assert "would fit: H100x2: --tensor-parallel-size 2" in out
    assert "vllm serve" not in out


def test_flags_are_the_command_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, LLAMA_8B, "--gpu", "L4", "--max-model-len", "8192", "--flags")
    assert (code, out) == (0, f"vllm serve {LLAMA_8B} --max-model-len 8192\n")
    code, out, err = run(capsys, LLAMA_8B, "--gpu", "T4", "--flags")
    assert (code, out) == (1, "")
    assert "does not fit T4" in err


def test_json_has_bytes_intervals_and_no_cost_without_a_load(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, LLAMA_8B, "--gpu", "L4")
    assert found["weights_bytes"] == found["weights_total_bytes"] == 16_060_522_496
    assert found["kv_cache_tokens"]["grade"] == "D"
    assert found["kv_cache_tokens"]["low"] < found["kv_cache_tokens"]["value"]
    assert found["sequences"] == found["kv_cache_tokens"]["value"] // 1264
    assert found["flags"][0] == LLAMA_8B
    assert "costs" not in found


def test_cost_says_what_it_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    load = (LLAMA_8B, "--gpu", "L4", "--rate", "2", "--day", "office", "--hosted", "0.05/0.08/0.01")
    guessed = report(capsys, *load)
    assert guessed["goodput"]["grade"] == "D"
    measured = report(capsys, *load, "--goodput", "1.4", "--usd-per-gpu-hour", "0.3", "--spares", "1")
    assert measured["goodput"]["grade"] == "A"
    assert measured["usd_per_gpu_hour"]["value"] == 0.3
    low, expected, peak = measured["costs"]
    assert expected["replicas"] == 3
    assert expected["usd_per_day"] == pytest.approx(3 * 0.3 * 24)
    assert low["usd_per_million_output_tokens"] > expected["usd_per_million_output_tokens"]
    assert peak["hosted_usd_per_day"] == pytest.approx(2 * 86400 * (1000 * 0.05 + 250 * 0.08) / 1e6)
    _, out, _ = run(capsys, *load, "--goodput", "1.4")
    assert "GPUs idle" in out
    assert "break-even" in out
    assert "RunPod" in out


def test_rates_of_each_hour_make_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(
        capsys, LLAMA_8B, "--gpu", "L4", "--rates", ",".join(["0.5"] * 23 + ["1"]), "--goodput", "1"
    )
    assert found["costs"][1]["requests_per_day"] == 12.5 * 3600


def test_break_even_out_of_reach_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (LLAMA_8B, "--gpu", "H100", "--rate", "1", "--goodput", "1", "--hosted", "0.01/0.01")
    assert "more than" in run(capsys, *arguments)[1]


def test_folder_of_ones_own_is_sized(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), "utf-8")
    assert report(capsys, str(tmp_path), "--gpu", "H100")["parameters"] == 8_030_261_248
    more = report(capsys, str(tmp_path), "--gpu", "H100", "--parameters", "9000000000")
    assert more["parameters"] == 9_000_000_000


def test_quantisation_and_split_are_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, LLAMA_8B, "--gpu", "L4x4", "--quantization", "fp8", "--tp", "2", "--pp", "2")
    assert found["command"].endswith("--tensor-parallel-size 2 --pipeline-parallel-size 2 --quantization fp8")


def test_model_that_pools_has_no_cache_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "BAAI/bge-large-en-v1.5", "--gpu", "L4")
    assert code == 0
    assert "--runner pooling" in out
    assert "tokens of cache" not in out


def test_model_that_pools_with_causal_attention_has_a_cache(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "Qwen/Qwen3-Embedding-0.6B", "--gpu", "L4")
    assert "--runner pooling" in found["command"]
    assert found["kv_bytes_per_token"] == 2 * 28 * 8 * 128 * 2
    assert found["kv_cache_tokens"]["value"] > 100_000


def test_model_that_pools_is_charged_for_prompts_alone(capsys: pytest.CaptureFixture[str]) -> None:
    what = ("BAAI/bge-m3", "--gpu", "L4", "--rate", "10", "--goodput", "20", "--hosted", "0.02/9")
    found = report(capsys, *what, "--prompt-tokens", "500")
    _, expected, _ = found["costs"]
    assert expected["hosted_usd_per_day"] == pytest.approx(10 * 86_400 * 500 * 0.02 / 1e6)
    per_day = 10 * 86_400 * 500 / 1e6
    assert expected["usd_per_million_prompt_tokens"] == pytest.approx(expected["usd_per_day"] / per_day)
    assert "usd_per_million_output_tokens" not in expected
    assert [figure["metric"] for figure in found["speed"]] == ["e2e_p50_s", "goodput_per_s"]
    out = run(capsys, *what)[1]
    assert "a million prompt tokens" in out
    assert "output tokens" not in out


def test_without_a_model_those_that_fit_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--gpu", "L4")
    assert code == 0
    assert out.splitlines()[1].startswith("openai/gpt-oss-20b")
    listed = json.loads(run(capsys, "--gpu", "L4", "--json")[1])
    assert listed[0]["model"] == "openai/gpt-oss-20b"


def test_known_hardware_and_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    gpus = run(capsys, "--list-gpus")[1]
    assert "MI300X" in gpus
    assert "2026-09-25" in gpus
    models = run(capsys, "--list-models")[1]
    assert "deepseek-ai/DeepSeek-V3" in models
    assert "pooling" in models


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((LLAMA_8B,), "say on what: --gpu L4"),
        ((LLAMA_8B, "--gpu", "H9"), "known are H100"),
        (("nobody/nothing", "--gpu", "L4"), "neither a path nor among the known ones"),
        ((LLAMA_8B, "--gpu", "H100x8", "--tp", "3"), "these work: 1, 2, 4, 8"),
        ((LLAMA_8B, "--gpu", "L4", "--prompt-tokens", "999999"), "made for at most 131072"),
        ((LLAMA_8B, "--gpu", "L4", "--rate", "1", "--day", "odd"), "give one of flat, office, consumer"),
        ((LLAMA_8B, "--gpu", "L4", "--rate", "1", "--hosted", "1"), "--hosted takes two or three prices"),
    ],
)
def test_what_cannot_be_sized_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_list_that_is_not_numbers_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["size", LLAMA_8B, "--gpu", "L4", "--hosted", "cheap"])
    assert caught.value.code == 2
    assert "'cheap' is not numbers with commas or slashes between them" in capsys.readouterr().err


def test_hostile_file_is_one_line_without_a_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), "utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    code, _, err = run(capsys, str(tmp_path), "--gpu", "L4")
    assert code == 2
    assert err.startswith("lmaas: model.safetensors is no safetensors file: ")
    assert str(tmp_path) not in err


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "\x1b[31mred[bold]"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA), "utf-8")
    _, out, _ = run(capsys, str(folder), "--gpu", "L4")
    assert "\x1b[31m" not in out
    assert "[bold]" in out


def test_tables_without_rich_say_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "lmaas.cli._size_tables", raising=False)
    code, _, err = run(capsys, LLAMA_8B, "--gpu", "L4")
    assert code == 2
    assert "pip install 'lmaas[choose]'" in err
    assert run(capsys, LLAMA_8B, "--gpu", "L4", "--json")[0] == 0


def test_other_commands_import_no_sizing() -> None:
    program = "import sys, lmaas.cli; assert not any('lmaas.sizing' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gpu", "L4", "--dtype", "half"), "dtype 'half' is not known; give one of float32"),
        (("--gpu", "L4", "--kv-cache-dtype", "int3"), "KV cache dtype 'int3' is not known"),
        (("--gpu", "L4", "--prompt-tokens", "-900"), "together must be 1 or more"),
        (("x" * 5000, "--gpu", "L4"), "neither a path nor among the known ones"),
    ],
    ids=range(4),
)
def test_what_suits_no_model_is_an_error_and_no_empty_list(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run(capsys, *arguments)
    assert (code, said in err) == (2, True)
