"""What end-to-end tests share beside the gateway (fixtures.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmaas import LMaaS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.live_gateway import LiveGateway

_LAST = {"test_recovery.py": 1, "test_steering.py": 2}


@pytest.fixture
def client(gateway: LiveGateway) -> Iterator[LMaaS]:
    """Our own client, which fails at the first error instead of trying again."""
    with LMaaS(base_url=gateway.base_url, max_retries=0) as one:
        yield one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, and those that end engines last: what comes after would have to wait."""
    items.sort(key=lambda item: (_LAST.get(item.path.name, 0), item.path.parent.name == "e2e"))
