"""Make the stores that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.replay.bounded import BoundedStore, Bounds
from lmaas_gateway.replay.cache import ResponseCache
from lmaas_gateway.replay.claims import MemoryClaims
from lmaas_gateway.replay.flights import Flights
from lmaas_gateway.replay.folder import FolderClaims
from lmaas_gateway.replay.stage import Replays

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replay.claims import Claims
    from lmaas_gateway.settings import CacheSettings, IdempotencySettings, Settings


def build_claims(settings: IdempotencySettings, shared_folder: Path | None) -> Claims | None:
    """Make the store of idempotency keys; it lives as long as the gateway, whatever is configured anew.

    Args:
        settings: Where it is, how much it keeps and how long.
        shared_folder: Of several workers, where they keep what they share.

    Raises:
        SettingsError: its folder cannot be used.
    """
    if not settings.enabled:
        return None
    folder = settings.folder
    if folder is None and shared_folder is not None:
        folder = shared_folder / "replies"
    bounds = _bounds(settings)
    if folder is None:
        return MemoryClaims(BoundedStore(bounds), settings.max_entry_bytes)
    return FolderClaims(folder, bounds)


def build_replays(settings: Settings, claims: Claims | None, metrics: Metrics) -> Replays:
    """Make the stage, with an empty response cache if any model has one."""
    models = frozenset(
        model.name
        for model in settings.models
        if (settings.cache.enabled if model.cache is None else model.cache)
    )
    return Replays(
        claims,
        _build_cache(settings.cache, models) if models else None,
        metrics,
        room_bytes=max(settings.idempotency.max_bytes, settings.cache.max_bytes),
    )


def _build_cache(settings: CacheSettings, models: frozenset[str]) -> ResponseCache:
    return ResponseCache(
        BoundedStore(_bounds(settings)),
        Flights(settings.max_wait_s),
        max_entry_bytes=settings.max_entry_bytes,
        models=models,
    )


def _bounds(settings: IdempotencySettings | CacheSettings) -> Bounds:
    return Bounds(settings.max_bytes, settings.max_entry_bytes, settings.max_entries, settings.ttl_s)
