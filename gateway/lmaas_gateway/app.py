"""The composition root: the only place where services are made and given to each other."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.accounting import Accounting
from lmaas_gateway.api.application import build_application
from lmaas_gateway.auth import Authenticator
from lmaas_gateway.board import SharedBoard
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.pipeline import Pipeline
from lmaas_gateway.replicas.directory import Directory, build_directory
from lmaas_gateway.replicas.health import Prober
from lmaas_gateway.routing.router import Router
from lmaas_gateway.tallies import TallyFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from lmaas_gateway.board import Seat
    from lmaas_gateway.replicas.pool import LaunchStatus
    from lmaas_gateway.settings import Settings

_PUBLISH_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """An assembled gateway: the ASGI application, and the models behind it."""

    application: ASGIApp
    directory: Directory


def build_gateway(
    settings: Settings,
    *,
    log: Callable[[bytes], None] | None = None,
    seat: Seat | None = None,
    launches: Callable[[str], Sequence[LaunchStatus]] | None = None,
) -> Gateway:
    """Assemble a gateway whose replicas all have addresses; its lifespan probes them.

    Args:
        settings: Launched models must have been given the addresses of their replicas.
        log: Takes access log lines.
        seat: Of one of several workers, its place among them.
        launches: Tells what the launcher knows of a model's replicas.
    """
    board = None if seat is None else SharedBoard(seat)
    directory = build_directory(settings, launches, board)
    metrics = Metrics(directory.pools, folder=None if seat is None else TallyFolder(seat.folder))
    accounting = Accounting(metrics, log=log if settings.access_log else None)
    authenticator = Authenticator(None if settings.api_key is None else settings.api_key.get_secret_value())
    prober = Prober(directory, interval_s=settings.probe_interval_s)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await prober.start()
        publisher = asyncio.create_task(_publish(metrics))
        yield
        publisher.cancel()
        metrics.publish()
        await prober.stop()
        directory.close()

    application = build_application(
        pipeline=Pipeline(authenticator, directory, Router(metrics)),
        authenticator=authenticator,
        directory=directory,
        accounting=accounting,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        cors_origins=settings.cors_origins,
        lifespan=lifespan,
    )
    return Gateway(application, directory)


async def _publish(metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(_PUBLISH_INTERVAL_S)
        with contextlib.suppress(OSError):
            metrics.publish()
