"""One real gateway for all end-to-end tests of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from e2e.live_gateway import LiveGateway, running_gateway
from lmaas import LMaaS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def engine_python() -> str:
    """The interpreter that has vLLM."""
    python = os.environ.get("LMAAS_ENGINE__PYTHON", "")
    if not python:
        pytest.fail(
            "set LMAAS_ENGINE__PYTHON to an interpreter that has vLLM; `make test` prepares one and does it"
        )
    return python


@pytest.fixture(scope="session")
def gateway(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """`lmaas serve` with both embedded models, started once; both restarts and the stop are looked at too."""
    with running_gateway(tmp_path_factory.mktemp("gateway"), engine_python) as live:
        yield live


@pytest.fixture
def client(gateway: LiveGateway) -> Iterator[LMaaS]:
    """Our own client, which fails at the first error instead of trying again."""
    with LMaaS(base_url=gateway.base_url, max_retries=0) as one:
        yield one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, and those that kill engines last: what comes after would have to wait."""
    items.sort(key=lambda item: (item.path.parent.name == "e2e", item.path.name == "test_recovery.py"))
