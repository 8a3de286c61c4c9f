"""Fixtures that every folder of tests may ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from support.greenlets import follow_greenlets

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["support.stores", "e2e.fixtures"]

follow_greenlets()

# No property is about time, and a busy machine takes a second for what takes a millisecond.
settings.register_profile("lmaas", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lmaas")


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what gateways store out of the home of who runs the tests."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    yield
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before
