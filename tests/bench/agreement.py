"""Do `lmaas bench` and `vllm bench serve` tell the same of the same gateway and engine?

Both send prompts of the same length, at the same even rate, for answers of the same length, and both at the
same time: an engine on a machine that others use too is never as fast as it was a minute ago, and in turns
that would be told as a difference of the tools. What all rounds told is compared by its medians. `vllm bench
serve` is the engine environment's own.

    python tests/bench/agreement.py http://127.0.0.1:8000/v1 smollm2-135m-instruct \\
        --engine-python PYTHON --tokenizer FOLDER --rounds 3 --calls 60 --rate 0.5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

FIGURES = (
    "ttft_p50_ms",
    "ttft_mean_ms",
    "itl_mean_ms",
    "tpot_p50_ms",
    "tpot_mean_ms",
    "e2e_p50_ms",
    "tokens_per_s",
)
LIMIT = 0.05
CHAT_TEMPLATE_TOKENS = 30
"""What the embedded model's chat template adds to a prompt; theirs counts its prompts without."""
# The `vllm` command asks for the metadata of a package that the CPU build has under another name.
_VLLM_BENCH_SERVE = (
    "from vllm.benchmarks.serve import add_cli_args, main; "
    "from vllm.utils.argparse_utils import FlexibleArgumentParser; "
    "parser = FlexibleArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
)


def write_workload(folder: Path, options: argparse.Namespace, prompt_tokens: float) -> Path:
    """Write our description of the load: their lengths and rate, and their even arrivals."""
    path = folder / "ours.json"
    lengths = {"prompt_tokens": round(prompt_tokens), "output_tokens": options.tokens}
    path.write_text(json.dumps({**lengths, "calls_per_s": options.rate, "burstiness": 0.001}))
    return path


def start_theirs(options: argparse.Namespace, folder: Path) -> subprocess.Popen[str]:
    """Start `vllm bench serve`."""
    command = [
        options.engine_python,
        "-c",
        _VLLM_BENCH_SERVE,
        *("--backend", "openai-chat", "--endpoint", "/v1/chat/completions"),
        *("--base-url", options.url.removesuffix("/v1"), "--model", options.model),
        *("--tokenizer", options.tokenizer, "--dataset-name", "random", "--random-range-ratio", "0"),
        *("--random-input-len", str(options.prompt_tokens), "--random-output-len", str(options.tokens)),
        *("--num-prompts", str(options.calls), "--request-rate", str(options.rate), "--burstiness", "inf"),
        *("--ignore-eos", "--temperature", "0", "--percentile-metrics", "ttft,tpot,itl,e2el"),
        *("--disable-tqdm", "--save-result", "--result-dir", str(folder), "--result-filename", "theirs.json"),
    ]
    offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **offline}
    )


def read_theirs(
    options: argparse.Namespace, running: subprocess.Popen[str], folder: Path
) -> dict[str, float]:
    """Wait for its end; give what it told."""
    _, said = running.communicate()
    assert running.returncode == 0, said[-2000:]
    told = json.loads((folder / "theirs.json").read_text())
    assert told["completed"] == options.calls, f"{options.calls - told['completed']} calls failed"
    return {
        "ttft_p50_ms": told["median_ttft_ms"],
        "ttft_mean_ms": told["mean_ttft_ms"],
        "itl_mean_ms": told["mean_itl_ms"],
        "tpot_p50_ms": told["median_tpot_ms"],
        "tpot_mean_ms": told["mean_tpot_ms"],
        "e2e_p50_ms": told["median_e2el_ms"],
        "tokens_per_s": told["output_throughput"],
        "prompt_tokens": told["total_input_tokens"] / told["completed"],
    }


def calls_begun(options: argparse.Namespace) -> float:
    """Ask the gateway how many calls it has been sent."""
    with urllib.request.urlopen(options.url.removesuffix("/v1") + "/metrics") as reply:
        text = reply.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in {"lmaas_requests_total", "lmaas_requests_in_flight"}
    )


def wait_for_calls(options: argparse.Namespace, running: subprocess.Popen[str], begun: float) -> None:
    """Wait until theirs has sent its trial call and the first of those that it measures."""
    while calls_begun(options) < begun + 2 and running.poll() is None:
        time.sleep(0.1)


def run_ours(options: argparse.Namespace, workload: Path, folder: Path) -> dict[str, float]:
    """Run `lmaas bench` once.

    Its throughput is that of the time in which calls were due. Theirs begins one pause before the first call
    and ends with the last answer: here ours is counted over that time too, from the journal.
    """
    seconds = options.calls / options.rate
    command = [
        *(str(Path(sys.executable).with_name("lmaas")), "bench", f"gateway={options.url}"),
        *("--model", options.model),
        *("--workload", str(workload), "--rates", str(options.rate), "--blocks", "1", "--warmup", "0"),
        *("--seconds", str(seconds + 0.01), "--exact-lengths", "--output", str(folder)),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    report = json.loads((folder / "report.json").read_text())
    level = report["measurements"][0]["levels"][0]
    assert level["error_rate"]["value"] == 0, level["reasons"]
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()][-1]["leg"][
        "rows"
    ]
    lasted_s = (max(row[1] + row[4] for row in rows) - min(row[1] for row in rows)) / 1e6 + 1 / options.rate
    return {
        "ttft_p50_ms": level["ttft_s"]["p50"]["value"] * 1e3,
        "ttft_mean_ms": level["ttft_s"]["mean"]["value"] * 1e3,
        "itl_mean_ms": level["itl_s"]["mean"]["value"] * 1e3,
        "tpot_p50_ms": level["tpot_s"]["p50"]["value"] * 1e3,
        "tpot_mean_ms": level["tpot_s"]["mean"]["value"] * 1e3,
        "e2e_p50_ms": level["e2e_s"]["p50"]["value"] * 1e3,
        "tokens_per_s": sum(row[9] for row in rows) / lasted_s,
    }


def compare(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]
) -> list[tuple[Any, ...]]:
    """Return each figure: the medians of both tools, their difference, and how far rounds spread."""
    rows = []
    for name in FIGURES:
        mine, yours = [one[name] for one in ours], [one[name] for one in theirs]
        spread = max((max(told) - min(told)) / median(told) for told in (mine, yours))
        rows.append((name, median(mine), median(yours), median(mine) / median(yours) - 1, spread))
    return rows


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--engine-python", required=True, help="an interpreter that has vLLM")
    parser.add_argument("--tokenizer", required=True, help="the model's folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    return parser.parse_args(arguments)


def main() -> int:
    """Run the rounds, each tool first in turn, and print the table."""
    options = parse()
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    prompt_tokens = float(options.prompt_tokens + CHAT_TEMPLATE_TOKENS)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        for number in range(options.rounds):
            workload = write_workload(folder, options, prompt_tokens)
            begun = calls_begun(options)
            running = start_theirs(options, folder)
            wait_for_calls(options, running, begun)
            ours.append(run_ours(options, workload, folder / f"ours-{number}"))
            theirs.append(read_theirs(options, running, folder))
            sys.stderr.write(f"round {number + 1}: {ours[-1]} against {theirs[-1]}\n")
    rows = compare(ours, theirs)
    sys.stdout.write("| figure | lmaas bench | vllm bench serve | difference | spread of rounds |\n")
    sys.stdout.write("|---|---:|---:|---:|---:|\n")
    for figure, mine, yours, difference, spread in rows:
        sys.stdout.write(f"| {figure} | {mine:.2f} | {yours:.2f} | {difference:+.1%} | {spread:.1%} |\n")
    return 0 if all(abs(row[3]) <= LIMIT for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
