"""One real gateway for all tests of a run that drive the real model, whichever folder they are in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.live_gateway import LiveGateway
    from support.collecting import Collector


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
def collector() -> Iterator[Collector]:
    """Receives the spans of the gateway and of its engines."""
    from support.collecting import Collector  # noqa: PLC0415 - most tests need none

    one = Collector()
    yield one
    one.close()


@pytest.fixture(scope="session")
def gateway(
    engine_python: str, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveGateway]:
    """`lmaas serve` with both embedded models, started once; both restarts and the stop are looked at too.

    Only calls whose callers trace them are traced.
    """
    from e2e.live_gateway import running_gateway  # noqa: PLC0415 - most tests need no engine

    traced = {
        "LMAAS_TRACING__ENDPOINT": collector.url,
        "LMAAS_TRACING__RATIO": "0",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with running_gateway(tmp_path_factory.mktemp("gateway"), engine_python, environ=traced) as live:
        yield live
