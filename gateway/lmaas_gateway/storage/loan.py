"""One connection, lent to one task for one transaction, until a deadline.

Nothing that waits for a driver is ever cancelled: drivers, and what pools them, end a cancelled statement by
talking to the server, which is what hangs. Each statement runs in a task of its own; at the deadline its
caller is told, the connection is cut off or interrupted, and the rest is wound up behind the caller's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    ProgrammingError,
)

from lmaas_gateway.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from sqlalchemy import Connection as SyncConnection
    from sqlalchemy import CursorResult, Executable
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from lmaas_gateway.storage.engines import Dialect

T = TypeVar("T")

_LOG = logging.getLogger("lmaas.gateway")
_USED = "lmaas_used_at_s"
_FRESH_S = 0.1
# A deadline is watched in this many steps, and comes at the latest after this many times what was given.
_STEPS = 10
_MOST_TIMES = 4
_LATE_S = 0.002
_UNDEFINED_TABLE = "42P01"
# What a caller did, rather than the store: asking again gives the same.
_OF_THE_CALLER = (IntegrityError, DataError, ProgrammingError, InvalidRequestError)


class Lane:
    """Connections of one kind, counted: nobody waits inside the pool, where waiting has no deadline.

    Args:
        engine: Its pool holds `size` connections.
        dialect: Which database.
        size: How many may be lent at once.
        reads: Whether transactions only read.
    """

    def __init__(self, engine: AsyncEngine, dialect: Dialect, *, size: int, reads: bool) -> None:
        self.engine = engine
        self.dialect = dialect
        self.reads = reads
        self.size = size
        self.places = asyncio.Semaphore(size)
        # What takes long, such as a month's usage, leaves room for what serves.
        self.slow_places = asyncio.Semaphore(max(1, size // 2))
        self.endings: set[asyncio.Task[None]] = set()


class Connection:
    """What repositories see: statements in one transaction.

    Args:
        loan: The connection beneath.
    """

    __slots__ = ("_loan",)

    def __init__(self, loan: Loan) -> None:
        self._loan = loan

    @property
    def dialect(self) -> Dialect:
        """Which database it is, where its words differ."""
        return self._loan.dialect

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Execute one statement, once or once for each of several sets of parameters.

        Raises:
            StoreUnavailableError: the database failed, or the deadline has come.
            IntegrityError: SQLAlchemy's; a constraint does not allow it.
        """
        return await self._loan.bounded(self._loan.inner.execute(statement, parameters))

    async def run_sync(self, function: Callable[[SyncConnection], T]) -> T:
        """Run what needs SQLAlchemy's own connection, such as migrations."""
        return await self._loan.bounded(self._loan.inner.run_sync(function))


class Loan:
    """The life of one borrowed connection.

    Args:
        lane: Where it comes from.
        until_s: When its time is over, by the loop's clock.
        is_slow: It may take long, so that few of its kind may at once.

    Attributes:
        reason: Why the store failed; None if it did not.
        is_late: It only took longer than it was given.
    """

    def __init__(self, lane: Lane, until_s: float, *, is_slow: bool) -> None:
        self._lane = lane
        given_s = max(0.0, until_s - asyncio.get_running_loop().time())
        self._until_s = until_s
        self._latest_s = until_s + given_s * (_MOST_TIMES - 1)
        self._step_s = given_s / _STEPS
        self._held: tuple[asyncio.Semaphore, ...] = (lane.places,)
        if is_slow:
            self._held = (lane.slow_places, lane.places)
        self._inner: AsyncConnection | None = None
        self._driver: Any = None
        self._pending: asyncio.Task[Any] | None = None
        self._is_spoiled = False
        self.reason: str | None = None
        self.is_late = False

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._lane.dialect

    @property
    def inner(self) -> AsyncConnection:
        """SQLAlchemy's connection."""
        if self._inner is None:
            raise self._failure("the transaction is over")
        return self._inner

    async def open(self) -> Connection:
        """Take a connection that works, and begin a transaction.

        Raises:
            StoreUnavailableError: there is none in time.
        """
        taken: list[asyncio.Semaphore] = []
        try:
            async with asyncio.timeout_at(self._until_s):
                for places in self._held:
                    await places.acquire()
                    taken.append(places)
        except BaseException as error:
            for places in taken:
                places.release()
            self._held = ()
            if isinstance(error, TimeoutError):
                self.is_late = True
                raise self._failure("all connections are busy") from None
            raise
        await self.bounded(self._connect())
        return Connection(self)

    async def bounded(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work` until the deadline; nothing cancels it.

        Raises:
            StoreUnavailableError: it failed by the store's fault, or is not done in time.
        """
        if self.reason is not None:
            work.close()
            raise self._failure(self.reason)
        task: asyncio.Task[T] = asyncio.ensure_future(work)
        self._pending = task
        if not await self._is_done_in_time(task):
            self.is_late = True
            raise self._failure("it did not answer in time")
        self._pending = None
        try:
            return task.result()
        except _OF_THE_CALLER as error:
            if not _lacks_table(error):
                self._is_spoiled = True
                raise
            raise self._failure("its tables are not there yet") from error
        except (DBAPIError, OSError, TimeoutError) as error:
            raise self._failure(reason_of(error)) from error

    async def _is_done_in_time(self, task: asyncio.Task[T]) -> bool:
        """Wait for `task` until the deadline.

        What this event loop is too busy to read lies there unread. Time in which it stood still is not the
        database's, and is given again.
        """
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            step_s = min(self._step_s, max(0.0, self._until_s - began_s))
            done, _ = await asyncio.wait({task}, timeout=step_s)
            if done:
                return True
            now_s = loop.time()
            lost_s = now_s - began_s - step_s
            if lost_s > _LATE_S:
                self._until_s = min(self._until_s + lost_s, self._latest_s)
            if now_s >= self._until_s:
                return False

    async def commit(self) -> None:
        """End the transaction and keep what it did.

        Raises:
            RuntimeError: a statement was refused and nobody let that end the block. PostgreSQL would keep
                nothing, and not say so.
        """
        if self._is_spoiled:
            raise RuntimeError("a statement of this transaction was refused, so nothing of it can be kept")
        await self.bounded(self.inner.commit())

    async def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        if self.reason is not None or self._inner is None:
            self.abandon()
            return
        try:
            await self.bounded(self.inner.close())
        except BaseException:
            self.abandon()
            raise
        self._release()

    def abandon(self) -> None:
        """Cut the connection off, and wind it up when the driver lets go of it."""
        self._interrupt()
        if self._held:
            ending = asyncio.ensure_future(self._wind_up())
            self._lane.endings.add(ending)
            ending.add_done_callback(self._lane.endings.discard)

    async def _connect(self) -> None:
        """Connect; what went stale in the pool, as all do when a server restarts, is replaced at once."""
        for _ in range(self._lane.size):
            try:
                await self._begin()
            except DBAPIError as error:
                if not error.connection_invalidated or self.reason is not None:
                    raise
                await self._drop()
            else:
                return
        await self._begin()

    async def _begin(self) -> None:
        lane = self._lane
        inner = self._inner = await lane.engine.connect()
        if lane.dialect == "postgresql":
            raw = await inner.get_raw_connection()
            self._driver = raw.driver_connection
            await inner.execution_options(postgresql_readonly=lane.reads)
            now_s = asyncio.get_running_loop().time()
            # One that was used just now need not be asked whether it is still there, unless it knows better.
            if now_s - raw.info.get(_USED, -_FRESH_S) >= _FRESH_S or self._driver.is_closed():
                await inner.exec_driver_sql("SELECT 1")
            raw.info[_USED] = now_s
            return
        self._driver = (await inner.get_raw_connection()).driver_connection
        remaining_s = self._until_s - asyncio.get_running_loop().time()
        # So that a thread which waits for the write lock gives up when its caller does.
        await inner.execution_options(busy_ms=max(1, round(remaining_s * 1e3)))
        await inner.begin()

    def _interrupt(self) -> None:
        driver = self._driver
        if driver is None or self._pending is None:
            return
        if self.dialect == "postgresql":
            driver.terminate()
        else:
            interrupting = driver.interrupt()
            # It waits for nothing: sqlite3's own `interrupt` is made to be called from another thread.
            with contextlib.suppress(StopIteration, ValueError):
                interrupting.send(None)

    async def _wind_up(self) -> None:
        try:
            if self._pending is not None:
                await asyncio.wait({self._pending})
                self._pending.cancelled() or self._pending.exception()
            await self._drop()
        finally:
            self._release()

    async def _drop(self) -> None:
        inner, self._inner = self._inner, None
        if inner is None:
            return
        try:
            if self.dialect == "postgresql":
                await inner.invalidate()
            await inner.close()
        except Exception as error:
            _LOG.debug("a connection to the database could not be closed: %s", reason_of(error))

    def _release(self) -> None:
        held, self._held = self._held, ()
        for places in held:
            places.release()

    def _failure(self, reason: str) -> StoreUnavailableError:
        self.reason = reason
        return StoreUnavailableError("The gateway's database does not answer; retry.")


def reason_of(error: BaseException) -> str:
    """Say for the log why the store failed; of a statement neither text nor values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {str(cause).splitlines()[0]}" if str(cause) else type(cause).__name__


def _lacks_table(error: Exception) -> bool:
    """Whether migrations have not run: the gateway started while the database was down."""
    return isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", "") == _UNDEFINED_TABLE
