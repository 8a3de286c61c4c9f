"""The composition root: the only place where services are made and given to each other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.routing import Route

from lmaas_gateway.accounting import Accounting
from lmaas_gateway.administration.alerts import Alerts
from lmaas_gateway.administration.calls import Calls
from lmaas_gateway.administration.deeds import Deeds
from lmaas_gateway.administration.fleet import Fleet
from lmaas_gateway.administration.open_services import OpenServices
from lmaas_gateway.administration.operations import CALLS
from lmaas_gateway.admission.admission import Admission, rules_of
from lmaas_gateway.api import documents, openapi
from lmaas_gateway.api.actors import ActorReader
from lmaas_gateway.api.admin import AdminRoutes
from lmaas_gateway.api.alerts import AlertRoutes
from lmaas_gateway.api.application import AdminSide, build_application
from lmaas_gateway.api.bodies import BodyRoom
from lmaas_gateway.api.connections import Connections
from lmaas_gateway.api.feedback import FeedbackRoute
from lmaas_gateway.api.fleet import FleetRoutes
from lmaas_gateway.api.live import LiveRoutes
from lmaas_gateway.api.logs import LogRoutes
from lmaas_gateway.api.models import ModelRoutes
from lmaas_gateway.api.operations import OperationRoutes
from lmaas_gateway.api.operators import OperatorKey
from lmaas_gateway.api.tenants import TenantRoutes
from lmaas_gateway.board import SharedBoard
from lmaas_gateway.books.price_list import PriceList
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.configured import principals_of
from lmaas_gateway.limits.build import build_limiter
from lmaas_gateway.limits.rules import limits_of
from lmaas_gateway.live import Live
from lmaas_gateway.loop_watch import LoopWatch
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.metrics.engines import EngineCounts
from lmaas_gateway.metrics.fleet import FleetGauges
from lmaas_gateway.metrics.process import ProcessUse
from lmaas_gateway.pipeline import Pipeline
from lmaas_gateway.policy.fetching import MediaFetcher
from lmaas_gateway.policy.stage import Policy
from lmaas_gateway.quality.canaries import Canaries
from lmaas_gateway.quality.watch import QualityWatch
from lmaas_gateway.records.recorder import Recorder
from lmaas_gateway.records.records import Records
from lmaas_gateway.records.rings import open_rings
from lmaas_gateway.replay.build import build_claims, build_replays
from lmaas_gateway.replicas.directory import build_directory
from lmaas_gateway.replicas.health import Prober
from lmaas_gateway.routing.fallbacks import PlanRouter
from lmaas_gateway.routing.router import Router
from lmaas_gateway.tallies import TallyFolder
from lmaas_gateway.tls.renewal import open_listener
from lmaas_gateway.tracing import open_tracing
from lmaas_gateway.watching.desk import AlertDesk, Place
from lmaas_gateway.watching.plan import derived_from, plan_of
from lmaas_gateway.web.sessions import HeldSessions, Sessions
from lmaas_gateway.web.web import Sources, Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lmaas_gateway.api.admin import Steering
    from lmaas_gateway.board import Seat
    from lmaas_gateway.call import Call, Exits
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.replay.stage import Replays
    from lmaas_gateway.replicas.directory import Directory, Launches
    from lmaas_gateway.reply import Reply
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tenancy import Tenancy
    from lmaas_gateway.tls.renewal import RenewedContext
    from lmaas_gateway.watching.plan import Plan as WatchPlan

_CHORES_INTERVAL_S = 1.0
# What is stored and has expired is dropped after this many rounds of chores.
_SWEEP_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that follows from one configuration: made whole, never changed, replaced as one."""

    settings: Settings
    directory: Directory
    replays: Replays
    pipeline: Pipeline
    application: ASGIApp
    watched: WatchPlan


class Gateway:
    """An assembled gateway: the ASGI application and the models behind it; its lifespan probes them.

    What counts or remembers is made once, here. All else is made anew for each configuration by `_assemble`
    and swapped as a whole: a call that has begun ends with the snapshot that it began with.

    Args:
        settings: Launched models must have been given the addresses of their replicas.
        log: Takes access log lines.
        seat: Of one of several workers, its place among them.
        launches: Tells what the launcher knows of a model's replicas.
        steering: Changes the configuration where operators ask for it.
        fetcher: Fetches media for callers.
        tenancy: Knows the tenants; without one only keys of the configuration exist, and nothing is stored.
        admin_port: Of the listener that the admin API has to itself, if it has one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log: Callable[[bytes], None] | None = None,
        seat: Seat | None = None,
        launches: Launches | None = None,
        steering: Steering | None = None,
        fetcher: MediaFetcher | None = None,
        tenancy: Tenancy | None = None,
        admin_port: int | None = None,
    ) -> None:
        self._admin_port = admin_port
        self._tenancy = tenancy
        self.tls = open_listener(settings.tls)
        self._fetcher = fetcher or MediaFetcher()
        self._steering = steering
        self._is_preparing = self._is_stopping = False
        self._launches = launches
        self._board = None if seat is None else SharedBoard(seat)
        directory = build_directory(settings, launches, self._board)
        self.metrics = Metrics(folder=None if seat is None else TallyFolder(seat.folder, str(seat.slot)))
        FleetGauges(lambda: self.directory.pools).watch(self.metrics)
        self._process_use = ProcessUse(self.metrics)
        # What an engine counts is counted once, and so by one worker.
        self._engine_counts = None if seat is not None and seat.slot else EngineCounts(self.metrics)
        self._prices = PriceList()
        self._prices.follow(settings.models)
        if tenancy is not None:
            tenancy.measure(self.metrics)
        self._books = None if tenancy is None else tenancy.keep_books(self._prices, self.metrics)
        self._contents = None if tenancy is None else tenancy.keep_contents(self.metrics)
        rings = None if not settings.records.calls else open_rings(settings.records, seat)
        self.records = None if rings is None else Records(rings)
        self._tracing = open_tracing(settings.tracing)
        self._feedback = None if tenancy is None else tenancy.feedback(self.metrics, self.records)
        self._quality = None
        if settings.quality.sample_rate:
            database = None if tenancy is None else tenancy.database
            self._quality = QualityWatch(settings.quality, self.metrics, database)
        self._accounting = Accounting(
            self.metrics,
            log=log if settings.access_log else None,
            books=self._books,
            records=None if rings is None else Recorder(rings, self._prices, slow_s=settings.records.slow_s),
            traces=self._tracing,
            tells_timing=settings.records.server_timing,
        )
        self.connections = Connections(
            settings.connections, self.metrics, max_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        self._body_room = BodyRoom(settings.connections.max_bodies_bytes)
        self._sessions = _open_sessions(settings, tenancy)
        self._claims = build_claims(settings.idempotency, None if seat is None else seat.folder)
        self.admission = Admission(
            rules_of(settings), self.metrics, board=self._board, workers=1 if seat is None else seat.slots
        )
        self.metrics.watch(names.QUEUE_DEPTH, self.admission.depths)
        self.metrics.watch(names.CAPACITY, self.admission.capacities)
        self._prober = Prober(
            directory, interval_s=settings.probe_interval_s, old_engines=settings.old_engines
        )
        self.limiter = build_limiter(
            settings,
            self.metrics,
            seat,
            lambda: self.settings,
            prices=self._prices,
            source=None if tenancy is None else tenancy.limits(),
        )
        self.limiter.follow(limits_of(settings))
        self._deeds = Deeds(None if tenancy is None else tenancy.office())
        self.fleet = Fleet(directory=lambda: self.directory, steering=steering, deeds=self._deeds)
        self.metrics.watch(names.RESERVED_TOKENS, self._reserved_tokens)
        self.live = Live(self.metrics, lambda: self.directory.pools)
        self._derive = None if tenancy is None else derived_from(tenancy.vault)
        self.canaries = Canaries(
            lambda: self.settings.canary_prompts if seat is None or seat.slot == 0 else (),
            self._probe,
            self.metrics,
        )
        self._desk = AlertDesk(
            _place_of(settings, seat, has_store=tenancy is not None),
            plan_of(settings, self._derive),
            pools=lambda: self.directory,
            totals=lambda: self.live.totals,
            metrics=self.metrics,
            canaries=self.canaries.state,
        )
        self.alerts = Alerts(self._desk, self._deeds)
        self._current = self._assemble(settings, directory)
        self.metrics.watch(names.STORED_BYTES, self._stored_bytes)

    @property
    def settings(self) -> Settings:
        """The configuration that serves."""
        return self._current.settings

    @property
    def directory(self) -> Directory:
        """The models that are served."""
        return self._current.directory

    def _probe(self, call: Call, meter: Meter, exits: Exits) -> Awaitable[Reply]:
        return self._current.pipeline.probe(call, meter, exits)

    def _stored_bytes(self) -> list[tuple[tuple[str], float]]:
        return self._current.replays.sizes_bytes()

    def _reserved_tokens(self) -> list[tuple[tuple[()], float]]:
        return [((), self.limiter.reserved_tokens)]

    def application(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, or the lifespan, by the configuration of this moment."""
        return self._current.application(scope, receive, send)

    def announce_stop(self) -> None:
        """Say from now on that no new calls should come here, and go on taking those that do."""
        self._is_stopping = True
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
        snapshot.directory.succeed(self.directory, snapshot.settings)
        self.connections.follow(snapshot.settings.connections)
        self._body_room.max_bytes = snapshot.settings.connections.max_bodies_bytes
        self._prices.follow(snapshot.settings.models)
        self._desk.follow(snapshot.watched)
        self.limiter.follow(limits_of(snapshot.settings))
        self.admission.change(rules_of(snapshot.settings), snapshot.directory.pools)
        self._prober.interval_s = snapshot.settings.probe_interval_s
        self._prober.old_engines = snapshot.settings.old_engines
        self._prober.follow(snapshot.directory)
        self._current = snapshot
        self._is_preparing = False

    async def renew_tls(self) -> None:
        """Read the files of TLS again, those of the listener and those towards replicas."""
        for context in self._tls_contexts():
            await context.renew()

    def _tls_contexts(self) -> list[RenewedContext]:
        contexts = {replica.client.tls for pool in self.directory for replica in pool.replicas}
        return [context for context in (self.tls, *contexts) if context is not None]

    async def change(self, settings: Settings) -> None:
        """Serve by `settings` from the next call on.

        Raises:
            SettingsError: as `prepare`; nothing has changed.
        """
        self.adopt(await self.prepare(settings))

    def calls_at(self, model: str, url: str) -> int:
        """Count the calls that a replica works on, one that leaves included."""
        known = self.directory.known()
        return sum(
            replica.in_flight for (name, at, *_), replica in known.items() if (name, at) == (model, url)
        )

    def discard(self, snapshot: Snapshot) -> None:
        """Drop a prepared configuration."""
        self._is_preparing = False
        snapshot.directory.close(but=self.directory.known().values())

    def _assemble(self, settings: Settings, directory: Directory) -> Snapshot:
        """Make a pipeline and its routes. Nothing in here may change what serves: it may never be adopted."""
        tenancy = self._tenancy
        authenticator = (
            Authenticator(principals_of(settings))
            if tenancy is None
            else tenancy.identities.authenticator(settings)
        )
        # The response cache begins empty with each configuration, so it never answers for another engine.
        replays = build_replays(settings, self._claims, self.metrics)
        replica_router = Router(self.metrics, max_extra_attempts=settings.retries.max_extra_attempts)
        router = PlanRouter(replica_router, self.metrics)
        pipeline = Pipeline(
            authenticator,
            Policy(settings, self._fetcher),
            directory,
            self.limiter,
            self.admission,
            router,
            replays,
            books=self._books,
            contents=self._contents,
            quality=self._quality,
        )
        application = build_application(
            pipeline=pipeline,
            callers=[
                *ModelRoutes(authenticator, directory).routes(),
                *FeedbackRoute(authenticator, self._feedback).routes(),
            ],
            accounting=self._accounting,
            operations=OperationRoutes(
                authenticator,
                directory,
                self.metrics,
                is_stopping=lambda: self._is_stopping,
                stores=dict if self._tenancy is None else self._tenancy.store_states,
            ),
            settings=settings,
            admin=self._build_admin(settings, authenticator),
            body_room=self._body_room,
            lifespan=self._lifespan,
        )
        plan = plan_of(settings, self._derive)
        return Snapshot(settings, directory, replays, pipeline, application, plan)

    def _build_admin(self, settings: Settings, authenticator: Authenticator) -> AdminSide:
        """Make the routes of operators, and of administrators where there are tenants."""
        operator_key = OperatorKey(
            None if settings.admin_key is None else settings.admin_key.get_secret_value()
        )
        routes: list[Route] = []
        if settings.admin_key is not None and self._steering is not None:
            operators = AdminRoutes(
                operator_key,
                settings=lambda: self.settings,
                directory=lambda: self.directory,
                steering=self._steering,
                deeds=self._deeds,
            )
            routes += operators.routes()
        services = None if self._tenancy is None else self._tenancy.services(settings, self.records)
        actors = ActorReader(authenticator, operator_key, None if services is None else services.actors)
        if services is not None:
            routes += TenantRoutes(services, actors).routes()
        elif settings.admin_key is not None:
            routes += TenantRoutes(OpenServices(Calls(self.records)), actors, CALLS).routes()
        if services is not None or settings.admin_key is not None:
            routes += FleetRoutes(self.fleet, actors).routes()
        if settings.admin_key is not None:
            logs = LogRoutes(operator_key, settings.log_file, is_stopping=lambda: self._is_stopping)
            routes += logs.routes()
        if routes:
            routes += LiveRoutes(self.live, actors).routes()
            routes += AlertRoutes(self.alerts, actors).routes()
            routes.append(Route(openapi.ADMIN_PATH, documents.admin))
        pages = None
        if settings.dashboard.enabled:
            sources = Sources(
                authenticator,
                operator_key,
                services,
                directory=lambda: self.directory,
                live=self.live,
                fleet=self.fleet,
                calls=Calls(self.records) if services is None else services.calls,
                alerts=self.alerts,
            )
            pages = Web(settings, self._sessions, sources)
        return AdminSide(routes, self._admin_port, pages)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.limiter.start()
        await self._prober.start()
        watch = LoopWatch(self.metrics.observe_lag)
        watch.start()
        await self._desk.start()
        work = [self._do_chores(), self.live.run(), self.canaries.run()]
        if self._quality is not None:
            work.append(self._quality.run())
        chores = [asyncio.create_task(one) for one in work]
        yield
        await self._desk.close()
        for chore in chores:
            chore.cancel()
        watch.stop()
        if self._quality is not None:
            await self._quality.look()
            await self._quality.flush()
        self.metrics.publish()
        await self._prober.stop()
        self.directory.close()
        await self.limiter.close()
        await self._fetcher.close()
        if self._claims is not None:
            self._claims.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.stop)

    def _look_at_replicas(self) -> None:
        """Share out the time of replicas whose calls take long, and count it."""
        for pool in self.directory:
            for replica in pool.replicas:
                replica.look()
                if replica.busy is not None and (seconds := replica.busy.take_seconds()):
                    self.metrics.count(names.REPLICA_BUSY, (pool.name, replica.name), seconds)
        if self._engine_counts is not None:
            self._engine_counts.look(self.directory)

    async def _do_chores(self) -> None:
        for round_ in itertools.count(1):
            await asyncio.sleep(_CHORES_INTERVAL_S)
            # One that leaves may be wanted again by what is prepared, and is being asked how it is.
            if not self._is_preparing:
                self.directory.close_idle()
            self._look_at_replicas()
            self._process_use.look()
            for context in self._tls_contexts():
                await context.look()
            if round_ % _SWEEP_ROUNDS == 0:
                await self._current.replays.sweep()


def _open_sessions(settings: Settings, tenancy: Tenancy | None) -> Sessions:
    """Keep sessions where all processes find them; without a store, in this one."""
    if tenancy is not None:
        return tenancy.sessions()
    key = secrets.token_bytes(32)
    return Sessions(
        HeldSessions(),
        key_of=lambda _: key,
        newest=lambda: 1,
        lifetime_s=settings.dashboard.session_hours * 3600,
    )


def _place_of(settings: Settings, seat: Seat | None, *, has_store: bool) -> Place:
    """Say where what watching knows is kept, and whether this process watches: the first of several does."""
    kept = settings.data_folder() / "watching" if has_store else None
    folder = kept if kept is not None or seat is None else seat.folder
    return Place(folder, str(settings.port), is_watcher=seat is None or seat.slot == 0)
