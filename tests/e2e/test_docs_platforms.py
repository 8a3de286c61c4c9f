"""The code blocks of docs/several-platforms.md run against the real gateway, which stands in for "ours"."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.doc_blocks import blocks_of, run_block
from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("language", "code"), blocks_of("several-platforms.md"), ids=["choosing", "restarting"]
)
def test_block_runs_when_pasted(gateway: LiveGateway, tmp_path: Path, language: str, code: str) -> None:
    program = code.replace("http://127.0.0.1:8000", gateway.url)
    assert program != code
    assert run_block(language, program, base_url=gateway.base_url, folder=tmp_path)
