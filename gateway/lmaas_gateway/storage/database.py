"""The database: transactions with a deadline, behind a breaker.

    async with database.reading() as connection:
        key = await keys.find(connection, key_id)
    async with database.writing() as connection:
        await projects.create(connection, project)

A block that writes is one transaction: it is kept as a whole when the block ends, or undone when it raises.
If the deadline comes while it is being kept, nobody knows which: writes that are repeated must be idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from lmaas_gateway.settings import StorageSettings
from lmaas_gateway.storage.circuit import Circuit
from lmaas_gateway.storage.engines import dialect_of, open_postgresql, open_sqlite, read_url
from lmaas_gateway.storage.loan import Lane, Loan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lmaas_gateway.storage.engines import Dialect
    from lmaas_gateway.storage.loan import Connection

_LOG = logging.getLogger("lmaas.gateway")
_CONNECT_S = 2.0
_CLOSE_S = 2.0

Operation = Literal["read", "write"]
Observer: TypeAlias = "Callable[[Operation, Literal['ok', 'failed'], float], None]"
"""Takes what a transaction did, how it ended, and how many seconds it took."""


def database_url(settings: StorageSettings, folder: Path) -> str:
    """Give the address of the database: the setting, or a SQLite file in the data folder."""
    if settings.url is not None:
        return settings.url.get_secret_value()
    return f"sqlite:///{folder / 'lmaas.sqlite'}"


class Database:
    """Lends connections. Whoever waits for one waits no longer than the deadline, whatever the database does.

    Reads and writes have breakers of their own: on a full disk SQLite still reads.

    Args:
        url: Of SQLite or PostgreSQL; nothing is connected yet.
        rules: Deadlines, and when the breakers open.
        observe: Told of each transaction.
        clock: Monotonic seconds, of the breakers.

    Attributes:
        circuits: The breakers, of reads and of writes.
    """

    def __init__(
        self,
        url: str,
        rules: StorageSettings | None = None,
        *,
        observe: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rules = rules or StorageSettings()
        parsed = read_url(url)
        self.dialect: Dialect = dialect_of(parsed)
        self.admin_deadline_s = rules.admin_deadline_s
        self._rules = rules
        self.observe: Observer = observe or _ignore
        size = rules.connections
        if self.dialect == "sqlite":
            reader = open_sqlite(parsed, size=size, is_writer=False)
            writer = open_sqlite(parsed, size=1, is_writer=True)
            self._reads = Lane(reader, "sqlite", size=size, reads=True)
            self._writes = Lane(writer, "sqlite", size=1, reads=False)
        else:
            # Reads and writes share the pool, and so the count of what is lent.
            engine = open_postgresql(
                parsed,
                size=size,
                connect_s=max(_CONNECT_S, rules.deadline_s),
                command_s=rules.admin_deadline_s,
            )
            self._reads = Lane(engine, "postgresql", size=size, reads=True)
            self._writes = Lane(engine, "postgresql", size=size, reads=False)
            self._writes.places, self._writes.slow_places = self._reads.places, self._reads.slow_places
        self.circuits: dict[Operation, Circuit] = {
            operation: Circuit(
                "database", failures=rules.breaker_failures, open_s=rules.breaker_open_s, clock=clock
            )
            for operation in ("read", "write")
        }

    def reading(
        self, *, deadline_s: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Lend a connection that only reads, within one transaction.

        Args:
            deadline_s: When the whole block must have ended; default: that of the serving path.

        Raises:
            StoreUnavailableError: also later, from any statement.
        """
        return self._lend(self._reads, "read", deadline_s)

    def writing(
        self, *, deadline_s: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Lend a connection for one transaction that writes; as `reading`."""
        return self._lend(self._writes, "write", deadline_s)

    async def close(self) -> None:
        """Close all connections; what hangs is left to the end of the process."""
        endings = self._reads.endings | self._writes.endings
        if endings:
            await asyncio.wait(endings, timeout=_CLOSE_S)
        for engine in {self._reads.engine, self._writes.engine}:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await engine.dispose()

    @contextlib.asynccontextmanager
    async def _lend(
        self, lane: Lane, operation: Operation, deadline_s: float | None
    ) -> AsyncIterator[Connection]:
        circuit = self.circuits[operation]
        circuit.admit()
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        limit_s = self._rules.deadline_s if deadline_s is None else deadline_s
        is_slow = limit_s > self._rules.deadline_s
        loan = Loan(lane, started_s + limit_s, is_slow=is_slow)
        is_answered = False
        try:
            connection = await loan.open()
            is_answered = True
            yield connection
            if not lane.reads:
                await loan.commit()
            await loan.close()
        except (asyncio.CancelledError, GeneratorExit):
            loan.abandon()
            raise
        except BaseException:
            await self._undo(loan)
            raise
        finally:
            self.observe(operation, "ok" if loan.reason is None else "failed", loop.time() - started_s)
            # What is given much time may be a heavy question; that the database hangs, others find out.
            if loan.is_late and is_slow:
                circuit.release()
            else:
                _judge(circuit, loan, is_answered=is_answered)

    async def _undo(self, loan: Loan) -> None:
        try:
            await loan.close()
        except asyncio.CancelledError:
            raise
        except Exception:
            # It failed while what the block raised is on its way out, which says more; `_judge` counts it.
            _LOG.debug("a transaction could not be undone: %s", loan.reason)


def _judge(circuit: Circuit, loan: Loan, *, is_answered: bool) -> None:
    if loan.reason is not None:
        if circuit.note_failure():
            _LOG.warning("the database fails and is left alone for a while: %s", loan.reason)
    elif is_answered:
        if circuit.state != "closed":
            _LOG.warning("the database answers again")
        circuit.note_success()
    else:
        circuit.release()


def _ignore(*_: object) -> None:
    """Take no notice."""
