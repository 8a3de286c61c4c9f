"""Counters in memory: of one process, or of all workers of one host, which map the same file.

A table is made of records of equal size, one for each counter. Which record is whose is told by a hash of the
counter's name; what its cells mean, by its kind:

- A minute is a ring of 61 seconds. A use counts in its own second and in the 60 after it, so no 60 seconds
  ever hold more than the limit, and a use is free again after 60 to 61 seconds.
- A day or a month is a number that begins at zero with each day or month of UTC.
- What is in flight is a number for each worker, so that what a worker held can be taken back when it dies.

With several workers every change is made under a lock of the file, which the system frees if a worker dies.
A file that is kept brings days and months over a restart (docs/decisions/0016-limits.md).
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from lmaas_gateway.limits.rules import METRICS, Counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmaas_gateway.limits.rules import Limit, Period

_SECONDS = 61
# The cells of a record: two of its name's hash, which are zero in one that is nobody's, its kind, since when
# it counts, what it comes to, and the parts of that: of the seconds of a minute, or of up to 64 workers.
_KIND, _MARK, _TOTAL, _PARTS = 2, 3, 4, 5
_RECORD = 69
_CELL_BYTES = 8
# By kind less one: which number of a stamp tells that a counter begins anew.
KINDS: dict[Period, int] = {"minute": 1, "day": 2, "month": 3, "none": 4}
_LEVEL = 4
LEVEL_TURN = _LEVEL - 1
# A change takes some microseconds: who holds the lock for longer waits for a processor, or has been stopped.
_LOCK_WAIT_S = 0.02


class TableFullError(Exception):
    """There is no record left for one more counter."""


class Stamp(NamedTuple):
    """When something was reserved, so that what was too much is given back where it was taken."""

    second: int
    day: int
    month: int
    level: int = 0


class Table:
    """The counters that this process reserves from.

    Args:
        cells: The records' memory, eight bytes a cell.
        slot: Which worker this is.
        lock: An open file that all workers lock; None where there is one worker.
        clock: Seconds that all workers count alike and that never go back.
        wall: Unix seconds.
    """

    def __init__(
        self,
        cells: memoryview[int],
        *,
        slot: int = 0,
        lock: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cells = cells
        self._slot = slot
        self._lock = lock
        self._clock = clock
        self._wall = wall
        self._pid = os.getpid()
        self._stamp = Stamp(-1, 0, 0)
        self._places = (0, 0, 0, 0)

    @classmethod
    def in_memory(
        cls,
        records: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> Table:
        """Make a table of this process alone."""
        cells = memoryview(mmap.mmap(-1, records * _RECORD * _CELL_BYTES)).cast("q")
        return cls(cells, clock=clock, wall=wall)

    @classmethod
    def in_file(cls, path: Path, *, slot: int = 0, is_shared: bool = False) -> Table:
        """Map a table that `prepare_table` has made."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        cells = memoryview(mmap.mmap(descriptor, 0)).cast("q")
        if is_shared:
            return SharedTable(cells, slot=slot, lock=descriptor)
        os.close(descriptor)
        return cls(cells, slot=slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def counter(self, limit: Limit) -> Counter:
        """Find the counter of a limit, or begin it at zero.

        Raises:
            TableFullError: there is no room.
        """
        digest = memoryview(hashlib.blake2b(limit.name.encode(), digest_size=16).digest()).cast("q")
        self._acquire()
        try:
            at = self._find(digest[0] or 1, digest[1], KINDS[limit.period])
        finally:
            self._release()
        return Counter(limit, METRICS.index(limit.metric), limit.amount, at, KINDS[limit.period] - 1)

    def reserve(self, counters: Sequence[Counter], costs: Sequence[int]) -> Stamp | None:
        """Take costs, by metric, from all counters, or from none if one of them has too little left."""
        cells, stamp = self._cells, self._stamp
        if stamp[0] != int(self._clock()):
            stamp = self._now()
        places = self._places
        for counter in counters:
            at, turn, cost = counter.at, counter.turn, costs[counter.metric]
            if cells[at + _MARK] != stamp[turn]:
                self._begin(at, turn, stamp)
            if cost:
                total = cells[at + _TOTAL] + cost
                if total > counter.amount:
                    # Few are refused: nobody pays for looking at all before taking from the first.
                    self._add(counters[: counters.index(counter)], [-one for one in costs])
                    return None
                cells[at + _TOTAL] = total
                cells[at + places[turn]] += cost
        return stamp

    def charge(self, counters: Sequence[Counter], costs: Sequence[int]) -> Stamp:
        """Take from all counters, whatever is left."""
        self._acquire()
        try:
            stamp = self._now()
            self._roll(counters, stamp)
            self._add(counters, costs)
            return stamp
        finally:
            self._release()

    def give_back(self, counters: Sequence[Counter], costs: Sequence[int], stamp: Stamp) -> None:
        """Undo a reservation, or a part of it, where what was taken still counts."""
        cells = self._cells
        places = (_PARTS + stamp.second % _SECONDS, _PARTS, _PARTS, _PARTS + self._slot)
        for counter in counters:
            cost = costs[counter.metric]
            if not cost:
                continue
            at, turn = counter.at, counter.turn
            mark = cells[at + _MARK]
            if stamp[turn] == mark or (turn == 0 and stamp[0] > mark - _SECONDS):
                cells[at + _TOTAL] -= cost
                cells[at + places[turn]] -= cost

    def total(self, counter: Counter) -> int:
        """Tell what a counter came to when somebody last reserved from it."""
        return self._cells[counter.at + _TOTAL]

    def find_refusing(self, counters: Sequence[Counter], costs: Sequence[int]) -> list[Counter]:
        """List the counters that have too little left."""
        self._roll(counters, self._now())
        return [
            counter
            for counter in counters
            if (cost := costs[counter.metric]) and self.total(counter) + cost > counter.amount
        ]

    def wait_s(self, counter: Counter, cost: int) -> float:
        """Tell after how many seconds `cost` could be taken if nobody else took any; infinity for never."""
        stamp = self._now()
        if cost > counter.amount:
            return math.inf
        if counter.limit.period == "minute":
            return self._wait_in_window(counter, cost, stamp)
        return 1.0 if counter.limit.period == "none" else self.ends_in_s(counter.limit.period)

    def ends_in_s(self, period: Period) -> float:
        """Tell how many seconds are left of this day or month."""
        return period_end_s(period, self._wall()) - self._wall()

    def free_slot(self, slot: int) -> None:
        """Take back what a worker that died had in flight, and set right what it may have left half done."""
        cells = self._cells
        self._acquire()
        try:
            for at in self._used():
                if cells[at + _KIND] == _LEVEL:
                    cells[at + _PARTS + slot] = 0
                cells[at + _TOTAL] = sum(cells[at + _PARTS : at + _RECORD])
        finally:
            self._release()

    def _add(self, counters: Sequence[Counter], costs: Sequence[int]) -> None:
        cells, places = self._cells, self._places
        for counter in counters:
            cost, at = costs[counter.metric], counter.at
            cells[at + _TOTAL] += cost
            cells[at + places[counter.turn]] += cost

    def _roll(self, counters: Sequence[Counter], stamp: Stamp) -> None:
        for counter in counters:
            if self._cells[counter.at + _MARK] != stamp[counter.turn]:
                self._begin(counter.at, counter.turn, stamp)

    def _begin(self, at: int, turn: int, stamp: Stamp) -> None:
        """Forget what counts no more."""
        cells = self._cells
        mark, now = cells[at + _MARK], stamp[turn]
        if turn:
            # A clock that was set back for a while must not give a day's use back, nor one set wrong take it.
            if now > mark or mark - now > 1:
                cells[at + _MARK], cells[at + _TOTAL], cells[at + _PARTS] = now, 0, 0
            return
        if not 0 <= now - mark < _SECONDS:
            for place in range(at + _PARTS, at + _PARTS + _SECONDS):
                cells[place] = 0
            cells[at + _TOTAL] = 0
        for second in range(mark + 1, now + 1) if 0 <= now - mark < _SECONDS else ():
            place = at + _PARTS + second % _SECONDS
            cells[at + _TOTAL] -= cells[place]
            cells[place] = 0
        cells[at + _MARK] = now

    def _now(self) -> Stamp:
        second = int(self._clock())
        stamp = self._stamp
        if stamp.second == second:
            return stamp
        today = datetime.fromtimestamp(self._wall(), UTC)
        stamp = self._stamp = Stamp(second, today.toordinal(), today.year * 12 + today.month)
        self._places = (_PARTS + second % _SECONDS, _PARTS, _PARTS, _PARTS + self._slot)
        return stamp

    def _wait_in_window(self, counter: Counter, cost: int, stamp: Stamp) -> float:
        self._roll((counter,), stamp)
        missing = self.total(counter) + cost - counter.amount
        for second in range(stamp.second - _SECONDS + 1, stamp.second + 1):
            if missing <= 0:
                break
            missing -= self._cells[counter.at + _PARTS + second % _SECONDS]
            if missing <= 0:
                return second + _SECONDS - self._clock()
        return 0.0

    def _find(self, first: int, second: int, kind: int) -> int:
        cells = self._cells
        records = len(cells) // _RECORD
        begin = first % records
        for number in range(records):
            at = (begin + number) % records * _RECORD
            if cells[at] == first and cells[at + 1] == second:
                return at
            if not cells[at]:
                cells[at + 1], cells[at + _KIND], cells[at] = second, kind, first
                return at
        raise TableFullError

    def _used(self) -> Iterator[int]:
        return (at for at in range(0, len(self._cells) // _RECORD * _RECORD, _RECORD) if self._cells[at])

    def _acquire(self) -> None:
        """Lock the file, and say who holds it."""
        if self._lock is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not self._wait_for_lock(self._lock):
                return
        self._cells[-1] = self._pid

    def _wait_for_lock(self, lock: int) -> bool:
        """Wait until the file is locked; False if who holds it has been stopped, and so stops nobody else."""
        look_at_s = time.monotonic() + _LOCK_WAIT_S
        while True:
            os.sched_yield()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= look_at_s and _is_stopped(self._cells[-1]):
                    return False
            else:
                return True

    def _release(self) -> None:
        if self._lock is not None:
            if self._cells[-1] == self._pid:
                self._cells[-1] = 0
            fcntl.flock(self._lock, fcntl.LOCK_UN)


class SharedTable(Table):
    """A table that other workers reserve from, too: only under the lock."""

    def reserve(self, counters: Sequence[Counter], costs: Sequence[int]) -> Stamp | None:
        """Take costs as `Table.reserve`."""
        self._acquire()
        try:
            return super().reserve(counters, costs)
        finally:
            self._release()

    def give_back(self, counters: Sequence[Counter], costs: Sequence[int], stamp: Stamp) -> None:
        """Undo a reservation as `Table.give_back`."""
        self._acquire()
        try:
            super().give_back(counters, costs, stamp)
        finally:
            self._release()


def _is_stopped(pid: int) -> bool:
    """Tell whether a process stands still by a signal: it may be in the middle of a change, for any time."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b") ")[2][:1] in {b"T", b"t"}


def prepare_table(path: Path, records: int) -> None:
    """Make the file of a table anew, with what still counts of the table that lay in it before.

    Only for the process that starts the workers, before it does.
    """
    kept = _read_kept(path)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        # The last cell says who holds the lock.
        os.ftruncate(descriptor, (records * _RECORD + 1) * _CELL_BYTES)
        cells = memoryview(mmap.mmap(descriptor, 0)).cast("q")
    finally:
        os.close(descriptor)
    table = Table(cells)
    for record in kept[: records // 2]:
        at = table._find(record[0], record[1], record[_KIND])  # noqa: SLF001 - its own
        cells[at + _MARK : at + _RECORD] = record[_MARK:]
    fresh.replace(path)


def _read_kept(path: Path) -> list[memoryview[int]]:
    """Give the records of days and months, and of minutes, that have come to something."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    cells = memoryview(data[: len(data) // (_RECORD * _CELL_BYTES) * (_RECORD * _CELL_BYTES)]).cast("q")
    records = (cells[at : at + _RECORD] for at in range(0, len(cells), _RECORD) if cells[at])
    return [record for record in records if record[_KIND] in {1, 2, 3} and record[_TOTAL]]


def period_end_s(period: Period, now_s: float) -> float:
    """Give the Unix time at which the day or the month of `now_s` ends in UTC."""
    today = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return (today + timedelta(days=1)).timestamp()
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()
