"""Models that are sized for tests."""

from __future__ import annotations

from typing import Any

from lmaas.sizing import EngineSettings, Fit, Hardware, find_model, fit

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_70B = "meta-llama/Llama-3.3-70B-Instruct"


def sized(name: str, gpu: str, sequence_tokens: int = 1, **settings: Any) -> Fit:
    return fit(
        find_model(name), Hardware.parse(gpu), EngineSettings(**settings), sequence_tokens=sequence_tokens
    )
