"""Make the limiter of one process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lmaas_gateway.limits.counting.service import PromptTokens
from lmaas_gateway.limits.stage import Limiter
from lmaas_gateway.limits.stores import LocalStore
from lmaas_gateway.limits.table import Table, prepare_table
from lmaas_gateway.limits.tenants import TenantLimits
from lmaas_gateway.limits.valkey.store import ValkeyStore
from lmaas_gateway.replicas import catalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmaas_gateway.board import Seat
    from lmaas_gateway.limits.stores import Prices, Store
    from lmaas_gateway.limits.tenants import LimitSource
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import Settings

_TABLE = "limits.table"


# With these an engine may read prompts otherwise than the files of its model say.
_OTHER_READING = ("--chat-template", "--tokenizer", "--skip-tokenizer-init", "--renderer")


def build_limiter(
    settings: Settings,
    metrics: Metrics,
    seat: Seat | None,
    current: Callable[[], Settings],
    *,
    prices: Prices | None = None,
    source: LimitSource | None = None,
) -> Limiter:
    """Count in this process alone, or in the table that the workers of one host share.

    Args:
        settings: Those of the start.
        metrics: Counts refusals.
        seat: Of one of several workers, its place among them.
        current: Gives the settings of the moment.
        prices: What tokens cost.
        source: Where the limits of tenants stand; None where there are no tenants, and nothing is kept.
    """
    kept = None if source is None else find_kept(settings)
    if seat is not None:
        table = Table.in_file(seat.folder / _TABLE, slot=seat.slot, is_shared=True)
    elif kept is not None:
        table = Table.in_file(kept)
    else:
        table = Table.in_memory(settings.limits.max_counters)
    store: Store = LocalStore(table)
    if settings.storage.valkey_url is not None:
        store = ValkeyStore(
            settings.storage.valkey_url.get_secret_value(),
            Table.in_memory(settings.limits.max_counters),
            share=settings.limits.outage_percent / 100,
            timeout_s=settings.limits.store_timeout_s,
        )
    prompts = PromptTokens(
        threads=settings.limits.tokenizer_threads, folder_of=lambda model: find_files(current(), model)
    )
    tenants = None if source is None else TenantLimits(source)
    return Limiter(
        settings.limits,
        store,
        metrics,
        prices=prices,
        prompts=prompts,
        tenants=tenants,
        is_shared=seat is not None or settings.storage.valkey_url is not None,
    )


def find_files(settings: Settings, model: str) -> Path | None:
    """Tell where the files lie that the replicas of a model read; None if that is not known here."""
    found = next((one for one in settings.models if one.name == model), None)
    if found is None or found.model is None or isinstance(found.replicas, int):
        return None
    is_launched_here = all(replica.url.startswith("unix:") for replica in found.replicas)
    if not is_launched_here or any(argument.startswith(_OTHER_READING) for argument in found.engine_args):
        return None
    return catalog.find_folder(found.model, settings.cache_dir or catalog.default_cache_dir(os.environ))


def prepare_kept(settings: Settings) -> None:
    """Make the table that brings days and months over a restart, before any process uses it."""
    folder = settings.data_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    prepare_table(folder / _TABLE, settings.limits.max_counters)


def find_kept(settings: Settings) -> Path | None:
    """Tell where the table is that brings days and months over a restart, if there is one."""
    path = settings.data_folder() / _TABLE
    return path if not settings.open and path.is_file() else None


def prepare_shared(settings: Settings, folder: Path) -> None:
    """Have the workers that will start share the table that is kept, or else one of their own."""
    kept = find_kept(settings)
    if kept is not None:
        (folder / _TABLE).symlink_to(kept.resolve())
    else:
        prepare_table(folder / _TABLE, settings.limits.max_counters)


def free_slot(folder: Path, slot: int) -> None:
    """Take back what a worker that died held."""
    with Table.in_file(folder / _TABLE, is_shared=True) as table:
        table.free_slot(slot)
