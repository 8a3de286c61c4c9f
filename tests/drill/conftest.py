"""Clients on uvloop, so that they are no slower than what they call, and stores that a drill may stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uvloop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from drill.site import Stores
    from support.store_servers import PostgresServer, ValkeyServer


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    del config, item
    return {"loop": uvloop.new_event_loop}


@pytest.fixture
def stores(new_postgres: Callable[[], PostgresServer], new_valkey: Callable[[], ValkeyServer]) -> Stores:
    """Both, running; of this test alone."""
    postgres, valkey = new_postgres(), new_valkey()
    postgres.start()
    valkey.start()
    return postgres, valkey
