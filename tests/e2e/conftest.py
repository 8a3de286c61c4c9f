"""What end-to-end tests share beside the gateway (fixtures.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmaas import LMaaS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.live_gateway import LiveGateway


@pytest.fixture
def client(gateway: LiveGateway) -> Iterator[LMaaS]:
    """Our own client, which fails at the first error instead of trying again."""
    with LMaaS(base_url=gateway.base_url, max_retries=0) as one:
        yield one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, and those that kill engines last: what comes after would have to wait."""
    items.sort(key=lambda item: (item.path.parent.name == "e2e", item.path.name == "test_recovery.py"))
