"""Segments and the journal made of them: what was written is read, once, in order, after any death."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.books import segments
from lmaas_gateway.books.journal import Journal
from lmaas_gateway.books.segments import Segment, Unshipped
from lmaas_gateway.settings import BooksSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIZE = 4096


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    made = Segment.create(tmp_path / "00000001.journal", SIZE)
    yield made
    made.close()


def read_all(unshipped: Unshipped, most: int = 2) -> list[bytes]:
    found: list[bytes] = []
    while (batch := unshipped.next_batch(most)) is not None:
        found += batch.payloads
        unshipped.note_shipped(batch)
    return found


def recovered(path: Path) -> tuple[list[bytes], bool]:
    segment = Segment.recover(path)
    assert segment is not None
    is_torn = segment.is_torn
    unshipped = Unshipped([segment])
    found = read_all(unshipped)
    unshipped.close()
    return found, is_torn


def test_segment_has_all_of_its_blocks_before_the_first_record(segment: Segment) -> None:
    state = segment.path.stat()
    assert state.st_size == SIZE
    assert state.st_blocks * 512 >= SIZE


def test_what_was_written_is_read_by_another_process(segment: Segment) -> None:
    assert segment.write(b"one")
    assert segment.write(b"two" * 100)
    assert recovered(segment.path) == ([b"one", b"two" * 100], False)


def test_record_that_does_not_fit_is_not_begun(segment: Segment) -> None:
    assert segment.write(b"x" * 4000)
    assert not segment.write(b"y" * 100)
    assert segment.write(b"z" * 50)
    assert recovered(segment.path)[0] == [b"x" * 4000, b"z" * 50]


def test_shipping_goes_on_where_it_stood(segment: Segment) -> None:
    for number in range(5):
        segment.write(b"%d" % number)
    unshipped = Unshipped([segment])
    batch = unshipped.next_batch(2)
    assert batch is not None
    assert list(batch.payloads) == [b"0", b"1"]
    unshipped.note_shipped(batch)
    assert recovered(segment.path)[0] == [b"2", b"3", b"4"]


def test_batch_that_was_not_taken_is_given_again(segment: Segment) -> None:
    segment.write(b"one")
    unshipped = Unshipped([segment])
    first, again = unshipped.next_batch(9), unshipped.next_batch(9)
    assert first == again
    assert first is not None


@given(payloads=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20), data=st.data())
def test_damage_anywhere_loses_nothing_that_stands_before_it(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "1.journal"
    segment = Segment.create(path, SIZE)
    starts = []
    for payload in payloads:
        starts.append(segment.written)
        segment.write(payload)
    end = segment.written
    segment.close()
    at = data.draw(st.integers(starts[0], end - 1))
    bytes_ = bytearray(path.read_bytes())
    bytes_[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes_)
    found, _ = recovered(path)
    whole = sum(start <= at for start in starts) - 1
    assert found == payloads[:whole]


def test_torn_record_is_told_from_the_end(segment: Segment) -> None:
    segment.write(b"one")
    at = segment.written
    segment.write(b"two")
    data = bytearray(segment.path.read_bytes())
    data[at + 8 :] = bytes(len(data) - at - 8)  # the payload's page had not been written when the power went
    segment.path.write_bytes(data)
    assert recovered(segment.path) == ([b"one"], True)


@pytest.mark.parametrize("data", [b"", b"lmaas", b"something else that is long enough"])
def test_what_is_no_segment_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "1.journal"
    path.write_bytes(data)
    assert Segment.recover(path) is None


def test_file_is_gone_once_all_of_it_is_shipped(tmp_path: Path) -> None:
    first, second = (Segment.create(tmp_path / f"{number}.journal", SIZE) for number in (1, 2))
    unshipped = Unshipped([first])
    first.write(b"one")
    unshipped.add(second)
    second.write(b"two")
    assert unshipped.waiting_bytes() == 22
    assert read_all(unshipped) == [b"one", b"two"]
    assert [path.name for path in tmp_path.iterdir()] == ["2.journal"]
    assert unshipped.waiting_bytes() == 0
    unshipped.close()


def test_disk_without_room_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "fill", _no_room)
    with pytest.raises(OSError, match="No space"):
        Segment.create(tmp_path / "1.journal", SIZE)
    assert list(tmp_path.iterdir()) == []


def _no_room(file: int, size: int) -> None:
    os.pwrite(file, b"x", 0)
    raise OSError(errno.ENOSPC, "No space left on device")


def settings(**fields: object) -> BooksSettings:
    return BooksSettings.model_validate({"segment_bytes": 65536, "sync_interval_s": 0.01, **fields})


@pytest.fixture
def make_journal(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    made: list[Journal] = []

    def make(**fields: object) -> Journal:
        made.append(Journal(tmp_path, settings(**fields)))
        return made[-1]

    yield make
    for journal in made:
        journal.close(is_done=True)


def append_when_ready(journal: Journal, payload: bytes) -> None:
    """The thread has another file ready soon."""
    for _ in range(500):
        if journal.append(payload):
            return
        time.sleep(0.01)
    raise AssertionError("no file became ready")


def test_journal_goes_on_in_the_next_file(make_journal: Callable[..., Journal], tmp_path: Path) -> None:
    journal = make_journal()
    payloads = [b"%05d" % number * 500 for number in range(100)]
    for payload in payloads:
        append_when_ready(journal, payload)
    assert len(journal.unshipped.segments) >= 4
    assert read_all(journal.unshipped, most=7) == payloads
    assert len(journal.unshipped.segments) == 1


def test_journal_takes_no_more_disk_than_it_may(make_journal: Callable[..., Journal], tmp_path: Path) -> None:
    journal = make_journal(max_bytes=3 * 65536)
    payload = b"x" * 1000
    taken = 0
    while journal.problem is None:
        taken += journal.append(payload)
    taken += sum(journal.append(payload) for _ in range(300))
    assert not journal.append(payload)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * 65536
    assert "max_bytes" in str(journal.problem)
    assert len(read_all(journal.unshipped, most=50)) == taken
    append_when_ready(journal, payload)
    assert journal.problem is None


def test_journal_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    make_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make_journal()
    with monkeypatch.context() as full:
        full.setattr(segments, "fill", _no_room)
        taken = 0
        while journal.problem is None or journal.append(b"x" * 1000):
            taken += journal.append(b"x" * 1000)
        assert "No space left" in str(journal.problem)
    append_when_ready(journal, b"y")
    assert journal.problem is None


def test_segment_that_was_shipped_meanwhile_needs_no_sync(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path / "1.journal", SIZE)
    segment.close()
    segment.sync()


def test_closed_journal_leaves_what_was_not_shipped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, settings())
    journal.append(b"one")
    journal.close(is_done=False)
    (path,) = tmp_path.glob("*.journal")
    assert recovered(path)[0] == [b"one"]


def test_closed_journal_of_which_all_was_shipped_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, settings())
    journal.append(b"one")
    journal.close(is_done=True)
    assert list(tmp_path.iterdir()) == []
