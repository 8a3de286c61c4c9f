"""The code blocks of docs/tasks.md run against the real gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.doc_blocks import blocks_of, run_block
from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

BLOCKS = blocks_of("tasks.md")


def test_there_are_blocks_of_both_kinds() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash"}


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=lambda part: part.split("\n")[0][:30])
def test_block_runs_when_pasted(gateway: LiveGateway, tmp_path: Path, language: str, code: str) -> None:
    assert run_block(language, code, base_url=gateway.base_url, folder=tmp_path)
