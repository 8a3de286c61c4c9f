"""Runs a task over many texts: bounded concurrency, errors that stay with their text, progress, resume."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from lmaas.errors import AuthenticationError, LMaaSError, ModelNotFoundError, PermissionDeniedError
from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._journal import Journal
from lmaas.tasks._progress import Progress, ProgressBar
from lmaas.tasks._result import Result

ResultT = TypeVar("ResultT", bound=Result)
Tell: TypeAlias = Callable[[Progress], object]
ProgressOption: TypeAlias = "bool | Tell | None"

HOPELESS = (AuthenticationError, PermissionDeniedError, ModelNotFoundError)
"""Errors that the next text would meet too: they end a run."""


@dataclass(frozen=True, slots=True)
class Item(Generic[ResultT]):
    """What came of one text: a result or an error.

    Attributes:
        is_resumed: Whether the result was in the journal.
    """

    index: int
    text: str
    result: ResultT | None = None
    error: LMaaSError | None = None
    is_resumed: bool = False

    def get(self) -> ResultT:
        """Return the result, or raise the error."""
        if self.result is not None:
            return self.result
        raise self.error or TaskInputError("there is neither a result nor an error.")


class _Run(Generic[ResultT]):
    """The books of one run; no I/O but the journal's."""

    def __init__(
        self,
        texts: Iterable[str],
        journal: Journal[ResultT] | None,
        progress: ProgressOption,
        clock: Callable[[], float],
    ) -> None:
        self.texts = list(texts)
        self.items: dict[int, Item[ResultT]] = {}
        self._journal = journal
        self._tell: Tell | None = ProgressBar() if progress is True else progress or None
        self._clock = clock
        self._begin = clock()
        self._failed = self._resumed = 0

    def resume(self) -> Iterator[int]:
        """Take the results of the journal; yield the indexes of the other texts."""
        for index, text in enumerate(self.texts):
            result = self._journal.get(text) if self._journal else None
            if result is None:
                yield index
            else:
                self._resumed += 1
                self.items[index] = Item(index, text, result, is_resumed=True)
        if self._resumed:
            self._told()

    def succeed(self, index: int, result: ResultT) -> None:
        if self._journal:
            self._journal.keep(self.texts[index], result)
        self.items[index] = Item(index, self.texts[index], result)
        self._told()

    def fail(self, index: int, error: LMaaSError) -> None:
        self._failed += 1
        self.items[index] = Item(index, self.texts[index], error=error)
        self._told()

    def ordered(self) -> list[Item[ResultT]]:
        return [self.items[index] for index in range(len(self.texts))]

    def _told(self) -> None:
        if self._tell:
            elapsed_s = self._clock() - self._begin
            done = len(self.items)
            self._tell(Progress(done, len(self.texts), self._failed, self._resumed, elapsed_s))

    @contextmanager
    def booked(self, index: int) -> Iterator[None]:
        """Book an error of the block as that of the text, unless all texts would meet it."""
        try:
            yield
        except HOPELESS:
            raise
        except LMaaSError as error:
            self.fail(index, error)


def map_items(
    task: Callable[[str], ResultT],
    texts: Iterable[str],
    *,
    concurrency: int,
    journal: str | Path | None = None,
    key: str | None = None,
    progress: ProgressOption = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Item[ResultT]]:
    """Run `task` over `texts` in threads; see `Tasks.map`."""
    run: _Run[ResultT] = _Run(texts, _journal(journal, key), progress, clock)
    todo = list(run.resume())
    pool = ThreadPoolExecutor(_workers(concurrency, todo), "lmaas-map")
    try:
        futures = {pool.submit(task, run.texts[index]): index for index in todo}
        for future in as_completed(futures):
            with run.booked(futures[future]):
                run.succeed(futures[future], future.result())
    finally:
        # An interrupt, or an error that all would meet: what has not begun does not begin.
        pool.shutdown(cancel_futures=True)
    return run.ordered()


async def map_items_async(
    task: Callable[[str], Awaitable[ResultT]],
    texts: Iterable[str],
    *,
    concurrency: int,
    journal: str | Path | None = None,
    key: str | None = None,
    progress: ProgressOption = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Item[ResultT]]:
    """Run `task` over `texts` in one event loop; see `Tasks.map`."""
    run: _Run[ResultT] = _Run(texts, _journal(journal, key), progress, clock)
    todo = list(run.resume())
    rest = iter(todo)

    async def work() -> None:
        for index in rest:
            with run.booked(index):
                run.succeed(index, await task(run.texts[index]))

    workers = [asyncio.ensure_future(work()) for _ in range(_workers(concurrency, todo))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return run.ordered()


def _journal(path: str | Path | None, key: str | None) -> Journal[ResultT] | None:
    return None if path is None or key is None else Journal(path, key)


def _workers(concurrency: int, todo: Sequence[int]) -> int:
    if concurrency < 1:
        message = f"concurrency is {concurrency}; give 1 or more."
        raise TaskInputError(message)
    return max(1, min(concurrency, len(todo)))
