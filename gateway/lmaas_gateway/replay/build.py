"""Make the stores that the settings ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas_gateway.replay.bounded import BoundedStore, Bounds
from lmaas_gateway.replay.cache import ResponseCache
from lmaas_gateway.replay.claims import MemoryClaims
from lmaas_gateway.replay.flights import Flights
from lmaas_gateway.replay.folder import ReplyFolder
from lmaas_gateway.replay.shared import FolderClaims
from lmaas_gateway.replay.stage import Replays

if TYPE_CHECKING:
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replay.claims import Claims
    from lmaas_gateway.settings import CacheSettings, IdempotencySettings, Settings

# Linux's file system in memory.
_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is for this user only


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
    bounds = _bounds(settings)
    if settings.folder is not None:
        return FolderClaims(ReplyFolder(settings.folder, bounds), bounds)
    if shared_folder is None:
        return MemoryClaims(BoundedStore(bounds), settings.max_entry_bytes)
    if _has_room(_MEMORY, 2 * bounds.max_bytes):
        folder = ReplyFolder(_in_memory(shared_folder), bounds)
        return FolderClaims(folder, bounds, is_in_memory=True, is_temporary=True)
    return FolderClaims(ReplyFolder(shared_folder / "replies", bounds), bounds)


def _has_room(folder: Path, wanted_bytes: int) -> bool:
    """Tell whether a folder is there and has room; in containers the one in memory may be small."""
    try:
        return shutil.disk_usage(folder).free >= wanted_bytes and os.access(folder, os.W_OK)
    except OSError:
        return False


def drop_shared(shared_folder: Path) -> None:
    """Remove what workers shared in memory, if they were killed before they could."""
    shutil.rmtree(_in_memory(shared_folder), ignore_errors=True)


def _in_memory(shared_folder: Path) -> Path:
    return _MEMORY / f"{shared_folder.name}-replies"


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
