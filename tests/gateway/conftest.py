"""The gateway runs on uvloop, so its own tests do too; the replica client is tested on both loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

_ON_BOTH = {"test_client"}
_ON_UVLOOP = {
    "test_accounting",
    "test_administration",
    "test_admin_logs",
    "test_admission",
    "test_admin",
    "test_tenants",
    "test_app",
    "test_application",
    "test_calls",
    "test_configuration",
    "test_contents_kept",
    "test_connections",
    "test_client_watch",
    "test_docs_caching",
    "test_failover",
    "test_feedback",
    "test_health",
    "test_hostile_bytes",
    "test_inference",
    "test_inference_bodies",
    "test_inference_ends",
    "test_limits",
    "test_limits_valkey",
    "test_engine_counts",
    "test_link",
    "test_live",
    "test_logs",
    "test_media",
    "test_parameters",
    "test_client_connection",
    "test_quality_canaries",
    "test_quality_watch",
    "test_relay",
    "test_replay_cache",
    "test_replay_crash",
    "test_replay_idempotency",
    "test_fallbacks",
    "test_routing",
    "test_server",
    "test_tls",
    "test_tracing",
    "test_version",
    "test_watching",
    "test_web",
    "test_web_pages",
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    del config
    module = item.path.stem
    if module in _ON_BOTH:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"loop": uvloop.new_event_loop if module in _ON_UVLOOP else asyncio.new_event_loop}
