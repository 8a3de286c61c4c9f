"""What serves at this moment, for whatever outlives a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

    from lmaas_gateway.pipeline import Pipeline
    from lmaas_gateway.replay.stage import Replays
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.watching.plan import Plan


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that follows from one configuration: made whole, never changed, replaced as one."""

    settings: Settings
    directory: Directory
    replays: Replays
    pipeline: Pipeline
    application: ASGIApp
    watched: Plan


class Current:
    """The snapshot that serves. Who holds this sees each change; who holds a part of it sees none.

    Attributes:
        snapshot: There from the end of the gateway's making on.
        is_stopping: Whether new calls should go elsewhere, and who follows something should let go.
    """

    snapshot: Snapshot

    def __init__(self) -> None:
        self.is_stopping = False

    def settings(self) -> Settings:
        """Give the configuration."""
        return self.snapshot.settings

    def directory(self) -> Directory:
        """Give the models."""
        return self.snapshot.directory

    def pools(self) -> Mapping[str, Pool]:
        """Give the pools of all models, by name."""
        return self.snapshot.directory.pools
