"""The code of docs/sizing.md runs, and examples/size.py says what it promises."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sizing.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_code_of_the_page_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = BLOCKS
    exec(compile(code, "docs/sizing.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Qwen/Qwen3-30B-A3B" or "/" in said[0]
    assert said[1] == "Qwen/Qwen3-8B or fine-tune Qwen/Qwen3-4B"
    assert len(said) == 5


def test_example_tells_what_fits_and_what_a_day_costs(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(ROOT / "examples" / "size.py"))["main"]
    main("L40S")
    said = capsys.readouterr().out.splitlines()
    assert (
        said[0] == "meta-llama/Llama-3.3-70B-Instruct: does not fit; L40Sx4: --tensor-parallel-size 4 would"
    )
    assert said[1].endswith("vllm serve Qwen/Qwen3-8B")
    assert [line.split(":")[0] for line in said[3:]] == ["low", "expected", "peak"]
