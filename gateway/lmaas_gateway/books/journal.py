"""This process's journal: what is appended outlives the process; a thread prepares files and syncs them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from lmaas_gateway.books.segments import SUFFIX, Segment, Unshipped

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.settings import BooksSettings

_LOG = logging.getLogger("lmaas.gateway")
_JOIN_TIMEOUT_S = 2.0


class Journal:
    """Takes records from one thread, the event loop's.

    To append is a copy into memory: no system call, unless a new file is needed that is not ready yet.

    Args:
        folder: This process's own.
        settings: Sizes and intervals.

    Raises:
        OSError: there is no room for the first file.
    """

    def __init__(self, folder: Path, settings: BooksSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._numbers = count(1)
        self._active = self._make_segment()
        self._spare: Segment | None = None
        self._full: deque[Segment] = deque()
        self.unshipped = Unshipped([self._active])
        self._is_closing = False
        self._wake = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._keep, name="lmaas-journal", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """Why records cannot be kept any more, or soon cannot; None if all is well."""
        return self._problem

    def append(self, payload: bytes) -> bool:
        """Keep a record; tell whether there was room."""
        return self._active.write(payload) or (self._turn_over() and self._active.write(payload))

    def close(self, *, is_done: bool) -> None:
        """Sync, end the thread and let go of the files.

        Args:
            is_done: Everything was shipped: remove them.
        """
        self._is_closing = True
        self._wake.set()
        self._thread.join(_JOIN_TIMEOUT_S)
        spare, self._spare = self._spare, None
        paths = [segment.path for segment in self.unshipped.segments]
        self.unshipped.close()
        if spare is not None:
            spare.close()
            spare.path.unlink(missing_ok=True)
        for path in paths if is_done else ():
            path.unlink(missing_ok=True)

    def _turn_over(self) -> bool:
        spare, self._spare = self._spare, None
        self._wake.set()
        if spare is None:
            return False
        self._full.append(self._active)
        self._active = spare
        self.unshipped.add(spare)
        return True

    def _make_segment(self) -> Segment:
        path = self._folder / f"{next(self._numbers):08}{SUFFIX}"
        return Segment.create(path, self._settings.segment_bytes)

    def _keep(self) -> None:
        while not self._is_closing:
            self._prepare()
            self._sync()
            self._wake.wait(self._settings.sync_interval_s)
            self._wake.clear()
        self._sync()

    def _prepare(self) -> None:
        """Have the next file ready before it is needed."""
        if self._spare is not None:
            return
        # To count segments needs no lock, unlike to go through them.
        if (len(self.unshipped.segments) + 1) * self._settings.segment_bytes > self._settings.max_bytes:
            self._note_problem("the journal has reached books.max_bytes, since the store takes nothing")
            return
        try:
            self._spare = self._make_segment()
        except OSError as error:
            self._note_problem(f"the journal's disk takes no more: {error.strerror}")
        else:
            self._note_problem(None)

    def _sync(self) -> None:
        try:
            while self._full:
                self._full[0].sync()
                self._full.popleft()
            self._active.sync()
        except OSError as error:
            self._note_problem(f"the journal cannot be synced: {error.strerror}")

    def _note_problem(self, problem: str | None) -> None:
        if problem != self._problem:
            if problem is None:
                _LOG.info("the journal of the books takes records again")
            else:
                _LOG.error("%s; records are held in memory", problem)
        self._problem = problem
