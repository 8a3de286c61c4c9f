"""The composition root: the only place where services are made and given to each other.

Their making is in `assembly/`, a module a concern; here they are joined, and live together.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

from lmaas_gateway.api.application import build_application
from lmaas_gateway.api.feedback import FeedbackRoute
from lmaas_gateway.api.models import ModelRoutes
from lmaas_gateway.api.operations import OperationRoutes
from lmaas_gateway.assembly.admin import Administration
from lmaas_gateway.assembly.counting import open_counting
from lmaas_gateway.assembly.gates import open_gates
from lmaas_gateway.assembly.gauges import Gauges
from lmaas_gateway.assembly.identity import known_in
from lmaas_gateway.assembly.snapshot import Current, Snapshot
from lmaas_gateway.assembly.surroundings import NOTHING, Surroundings
from lmaas_gateway.assembly.watching import open_watching
from lmaas_gateway.board import SharedBoard
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.loop_watch import LoopWatch
from lmaas_gateway.pipeline import Pipeline
from lmaas_gateway.policy.stage import Policy
from lmaas_gateway.replay.build import build_replays
from lmaas_gateway.replicas.directory import build_directory
from lmaas_gateway.replicas.health import Prober
from lmaas_gateway.routing.fallbacks import PlanRouter
from lmaas_gateway.routing.router import Router
from lmaas_gateway.tls.renewal import open_listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lmaas_gateway.assembly.identity import Known
    from lmaas_gateway.replay.stage import Replays
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tls.renewal import RenewedContext

_CHORES_INTERVAL_S = 1.0
# What is stored and has expired is dropped after this many rounds of chores.
_SWEEP_ROUNDS = 60


class Gateway:
    """An assembled gateway: the ASGI application and the models behind it; its lifespan probes them.

    What counts or remembers is made once, here. All else is made anew for each configuration by `_assemble`
    and swapped as a whole: a call that has begun ends with the snapshot that it began with.

    Args:
        settings: Launched models must have been given the addresses of their replicas.
        around: What the process has for it.
    """

    def __init__(self, settings: Settings, around: Surroundings = NOTHING) -> None:
        self.tls = open_listener(settings.tls)
        self._is_preparing = False
        self._tenancy = around.tenancy
        self._launches = around.launches
        self._board = board = None if around.seat is None else SharedBoard(around.seat)
        directory = build_directory(settings, around.launches, board)
        self._prober = Prober(
            directory, interval_s=settings.probe_interval_s, old_engines=settings.old_engines
        )
        self._current = current = Current()
        self._counting = counting = open_counting(settings, around)
        self._gates = open_gates(settings, counting, current, around, board)
        self._watching = watching = open_watching(settings, counting.metrics, current, around)
        self._administration = Administration(settings, current, watching, counting.records, around)
        self.metrics, self.records = counting.metrics, counting.records
        self.connections, self.admission = self._gates.connections, self._gates.admission
        self.limiter = self._gates.limiter
        self.live, self.canaries = watching.live, watching.canaries
        self.fleet, self.alerts = self._administration.fleet, self._administration.alerts
        current.snapshot = self._assemble(settings, directory)
        # They read what serves by now.
        self._gauges = Gauges(counting.metrics, current, has_engines=around.is_first)

    @property
    def settings(self) -> Settings:
        """The configuration that serves."""
        return self._current.settings()

    @property
    def directory(self) -> Directory:
        """The models that are served."""
        return self._current.directory()

    def application(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, or the lifespan, by the configuration of this moment."""
        return self._current.snapshot.application(scope, receive, send)

    def announce_stop(self) -> None:
        """Say from now on that no new calls should come here, and go on taking those that do."""
        self._current.is_stopping = True
        self.live.end()

    async def prepare(self, settings: Settings, *, must_serve: bool = True) -> Snapshot:
        """Build all that follows from `settings` and probe what is new, while the old goes on serving.

        Args:
            settings: As in the constructor.
            must_serve: Whether every model that is served now must have a replica that takes calls.

        Raises:
            SettingsError: a setting cannot work, or a model would no longer be served.
        """
        directory = build_directory(settings, self._launches, self._board, self.directory)
        snapshot = self._assemble(settings, directory)
        self._is_preparing = True
        try:
            await self._prober.ask(directory)
            unserved = directory.find_unserved(self.directory)
            if unserved is not None and must_serve:
                raise SettingsError(
                    f"model {unserved!r} would have no replica that takes calls; "
                    "add one that answers its health check, or remove the model"
                )
        except BaseException:
            self.discard(snapshot)
            raise
        return snapshot

    def adopt(self, snapshot: Snapshot) -> None:
        """Serve by a prepared configuration from the next call on."""
        settings = snapshot.settings
        snapshot.directory.succeed(self.directory, settings)
        self._counting.prices.follow(settings.models)
        self._gates.follow(snapshot)
        self._watching.desk.follow(snapshot.watched)
        self._prober.interval_s = settings.probe_interval_s
        self._prober.old_engines = settings.old_engines
        self._prober.follow(snapshot.directory)
        self._current.snapshot = snapshot
        self._is_preparing = False

    def discard(self, snapshot: Snapshot) -> None:
        """Drop a prepared configuration."""
        self._is_preparing = False
        snapshot.directory.close(but=self.directory.known().values())

    async def change(self, settings: Settings) -> None:
        """Serve by `settings` from the next call on.

        Raises:
            SettingsError: as `prepare`; nothing has changed.
        """
        self.adopt(await self.prepare(settings))

    async def renew_tls(self) -> None:
        """Read the files of TLS again, those of the listener and those towards replicas."""
        for context in self._tls_contexts():
            await context.renew()

    def calls_at(self, model: str, url: str) -> int:
        """Count the calls that a replica works on, one that leaves included."""
        known = self.directory.known()
        return sum(
            replica.in_flight for (name, at, *_), replica in known.items() if (name, at) == (model, url)
        )

    def _tls_contexts(self) -> list[RenewedContext]:
        contexts = {replica.client.tls for pool in self.directory for replica in pool.replicas}
        return [context for context in (self.tls, *contexts) if context is not None]

    def _assemble(self, settings: Settings, directory: Directory) -> Snapshot:
        """Make all that follows. Nothing in here may change what serves: it may never be adopted."""
        known = known_in(settings, self._tenancy, self.records)
        # The response cache begins empty with each configuration, so it never answers for another engine.
        replays = build_replays(settings, self._gates.claims, self.metrics)
        pipeline = self._build_pipeline(settings, directory, known, replays)
        application = self._build_application(settings, directory, known, pipeline)
        return Snapshot(settings, directory, replays, pipeline, application, self._watching.plan(settings))

    def _build_pipeline(
        self, settings: Settings, directory: Directory, known: Known, replays: Replays
    ) -> Pipeline:
        router = Router(self.metrics, max_extra_attempts=settings.retries.max_extra_attempts)
        return Pipeline(
            known.authenticator,
            Policy(settings, self._gates.fetcher),
            directory,
            self.limiter,
            self.admission,
            PlanRouter(router, self.metrics),
            replays,
            books=self._counting.stored.books,
            contents=self._counting.stored.contents,
            quality=self._counting.quality,
        )

    def _build_application(
        self, settings: Settings, directory: Directory, known: Known, pipeline: Pipeline
    ) -> ASGIApp:
        operations = OperationRoutes(
            known.authenticator,
            directory,
            self.metrics,
            is_stopping=lambda: self._current.is_stopping,
            stores=dict if self._tenancy is None else self._tenancy.store_states,
        )
        models = ModelRoutes(known.authenticator, directory)
        feedback = FeedbackRoute(known.authenticator, self._counting.stored.feedback)
        return build_application(
            pipeline=pipeline,
            callers=[*models.routes(), *feedback.routes()],
            accounting=self._counting.accounting,
            operations=operations,
            settings=settings,
            admin=self._administration.build(settings, known),
            body_room=self._gates.body_room,
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.limiter.start()
        await self._prober.start()
        watch = LoopWatch(self.metrics.observe_lag)
        watch.start()
        await self._watching.desk.start()
        chores = [asyncio.create_task(one) for one in self._work()]
        yield
        await self._watching.desk.close()
        for chore in chores:
            chore.cancel()
        watch.stop()
        await self._prober.stop()
        self.directory.close()
        await self._gates.close()
        await self._counting.close()

    def _work(self) -> Iterator[Coroutine[None, None, None]]:
        """Begin what goes on by itself while the gateway serves."""
        yield self._do_chores()
        yield self.live.run()
        yield self.canaries.run()
        if self._counting.quality is not None:
            yield self._counting.quality.run()

    async def _do_chores(self) -> None:
        for round_ in itertools.count(1):
            await asyncio.sleep(_CHORES_INTERVAL_S)
            # One that leaves may be wanted again by what is prepared, and is being asked how it is.
            if not self._is_preparing:
                self.directory.close_idle()
            self._gauges.look()
            for context in self._tls_contexts():
                await context.look()
            if round_ % _SWEEP_ROUNDS == 0:
                await self._current.snapshot.replays.sweep()
