"""Run a gateway: take the port, launch the models, serve until told to stop.

With one worker everything lives in one process. With more, this process launches the models and watches
the workers, which share the port (`workers.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
import sys
from typing import TYPE_CHECKING

import uvloop

from lmaas_gateway.app import Gateway
from lmaas_gateway.assembly.surroundings import Surroundings
from lmaas_gateway.configuration.live import Configuration
from lmaas_gateway.configuration.names import names_of
from lmaas_gateway.configuration.source import Source
from lmaas_gateway.configuration.triggers import follow
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.greeting import greet_when_ready, tell_first_key, warn_open
from lmaas_gateway.host import Engine, HostWatch
from lmaas_gateway.http_server import BACKLOG, SignalledServer, uvicorn_config
from lmaas_gateway.link import Channel, WorkerLink
from lmaas_gateway.logs.outlet import opened
from lmaas_gateway.replicas.launcher import Launcher
from lmaas_gateway.settings import check_kinds
from lmaas_gateway.tls.renewal import open_listener
from lmaas_gateway.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from lmaas_gateway.board import Seat
    from lmaas_gateway.replicas.directory import Launches
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tenancy import Tenancy
    from lmaas_gateway.workers import Listeners

# So many new objects that outlive their calls are looked at for cycles at once; Python's own number is 700.
_YOUNG_OBJECTS = 10_000


def serve(settings: Settings, *, report: Callable[[str], None], source: Source | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: What to serve, where and how.
        report: Takes a line for people on each step that takes long.
        source: Where the settings came from, and are read again; None for nowhere.

    Raises:
        SettingsError: there is nothing to serve, the port is taken, or a model is not known.
    """
    if not settings.models:
        raise SettingsError("no model to serve; name one, as in: lmaas serve smollm2-135m-instruct")
    # What cannot serve is said before models are started; each worker opens its own.
    open_listener(settings.tls)
    raise_file_limit()
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(opened(settings.log_file, settings.log_level))
        listeners = [stack.enter_context(listen(settings.host, settings.port))]
        if settings.admin.port is not None:
            listeners.append(stack.enter_context(listen(settings.admin.host, settings.admin.port)))
            report(
                f"The admin API is at {settings.admin.host}:{listeners[1].getsockname()[1]}/admin/v1/ only."
            )
        run(_serve(settings, tuple(listeners), report, source or Source(environ={}), write))


def raise_file_limit() -> None:
    """Let the process, and those that it starts, have as many files open as they may.

    The usual soft limit of 1024 is for programs that wait with `select`; it would be 500 calls here.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve_worker(settings: Settings, listeners: Listeners, seat: Seat, link: socket.socket) -> None:
    """Serve as one of several workers; the process that started it launches the models."""
    with opened(settings.log_file, settings.log_level) as write:
        run(_serve_linked(settings, listeners, seat, link, write))


def listen(host: str, port: int) -> socket.socket:
    """Take the port, before anything slow is begun; who connects early waits.

    Raises:
        SettingsError: it cannot be bound.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        text = error.strerror or str(error)
        raise SettingsError(
            f"cannot listen on {host}:{port}: {text}; choose another port with --port"
        ) from None
    return listener


async def serve_socket(
    settings: Settings,
    listeners: Listeners,
    *,
    seat: Seat | None = None,
    launches: Launches | None = None,
    steering: Configuration | WorkerLink | None = None,
    host: HostWatch | None = None,
    log: Callable[[bytes], None] | None = None,
) -> None:
    """Serve on bound sockets until SIGTERM or SIGINT; `log` takes the lines of calls."""
    tenancy = None if settings.open else await _open_tenancy(settings)
    around = Surroundings(
        log=log,
        seat=seat,
        launches=launches,
        steering=steering,
        tenancy=tenancy,
        admin_port=listeners[1].getsockname()[1] if len(listeners) > 1 else None,
    )
    gateway = Gateway(settings, around)
    if steering is not None:
        steering.attach(gateway)
    if host is not None:
        host.report_to(gateway.metrics)
    config = uvicorn_config(settings, gateway)
    # What exists by now lives as long as the process: the collector need not look at it again. Calls leave
    # no cycles behind, so what is new need not be looked at after each of them either.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    try:
        await SignalledServer(config, gateway, settings, seat=seat).serve(list(listeners))
    finally:
        # After the last call, whose record it keeps.
        if tenancy is not None:
            await tenancy.close()


async def _open_tenancy(settings: Settings) -> Tenancy:
    # A gateway without a store need not load a database's libraries.
    from lmaas_gateway.tenancy import Tenancy  # noqa: PLC0415 - see above

    return await Tenancy.open(settings)


def run(main: Coroutine[object, object, None]) -> None:
    """Run a coroutine to its end on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def _serve_linked(
    settings: Settings,
    listeners: Listeners,
    seat: Seat,
    link_end: socket.socket,
    log: Callable[[bytes], None],
) -> None:
    link = WorkerLink(await Channel.open(link_end))
    await serve_socket(settings, listeners, seat=seat, launches=link.launches, steering=link, log=log)


async def _prepare_tenancy(
    settings: Settings, report: Callable[[str], None], first_lines: list[str]
) -> asyncio.Task[None] | None:
    """Make the store ready, or go on trying.

    Args:
        settings: Say where it is, if there is one.
        report: Takes lines for people.
        first_lines: Takes what a shell must know of a first start's key.
    """
    if settings.lets_everybody_in:
        warn_open(report)
    if settings.open:
        return None
    from lmaas_gateway.tenancy import prepare  # noqa: PLC0415 - as in `_open_tenancy`

    def tell(key: str) -> None:
        line = tell_first_key(key, settings.data_folder(), report, is_terminal=sys.stderr.isatty())
        first_lines.append(line)

    return await prepare(settings, report, tell)


def _engines(settings: Settings, launcher: Launcher) -> Iterator[Engine]:
    """List the engines that run, by the names that their replicas have."""
    for (model, url), name in names_of(settings).items():
        for status in launcher.status(model):
            if status.url == url and status.pid is not None:
                yield Engine(model, name, status.pid)


async def _serve(
    settings: Settings,
    listeners: Listeners,
    report: Callable[[str], None],
    source: Source,
    log: Callable[[bytes], None],
) -> None:
    launcher = Launcher(
        settings.models,
        settings.engine,
        settings.runtime_dir,
        settings.cache_dir,
        report=report,
        traces_endpoint=settings.tracing.endpoint if settings.tracing.engines else None,
    )
    configuration = Configuration(settings, source.load, launcher=launcher)
    resolved = configuration.settings
    check_kinds(resolved.models)
    host = HostWatch(lambda: _engines(configuration.settings, launcher))
    first_lines: list[str] = []
    preparing = await _prepare_tenancy(resolved, report, first_lines)
    await launcher.start()
    greeting = asyncio.create_task(
        greet_when_ready(resolved, listeners[0].getsockname()[1], report, first=first_lines)
    )
    watching = asyncio.create_task(host.run())
    try:
        async with follow(configuration, source.path, has_tls=settings.tls.cert_file is not None):
            if settings.workers == 1:
                await serve_socket(
                    resolved,
                    listeners,
                    launches=launcher.status,
                    steering=configuration,
                    host=host,
                    log=log,
                )
            else:
                workers = Workers(
                    resolved, listeners, target=serve_worker, steering=configuration, launches=launcher.status
                )
                configuration.attach(workers)
                host.report_to(workers.metrics)
                await workers.run(report)
    finally:
        greeting.cancel()
        watching.cancel()
        if preparing is not None:
            preparing.cancel()
        await launcher.stop()
