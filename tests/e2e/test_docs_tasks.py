"""The code blocks of docs/tasks.md run against the real gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.at_once import AtOnce
from e2e.doc_blocks import blocks_of, run_block
from e2e.live_gateway import LiveGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

BLOCKS = blocks_of("tasks.md")


def test_there_are_blocks_of_both_kinds() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash"}


@pytest.fixture(scope="module")
def ran(
    gateway: LiveGateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtOnce[tuple[str, str], str]]:
    def run(block: tuple[str, str]) -> str:
        return run_block(*block, base_url=gateway.base_url, folder=tmp_path_factory.mktemp("pasted"))

    with AtOnce(run, BLOCKS, width=4) as said:
        yield said


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=lambda part: part.split("\n")[0][:30])
def test_block_runs_when_pasted(ran: AtOnce[tuple[str, str], str], language: str, code: str) -> None:
    assert ran[language, code]
