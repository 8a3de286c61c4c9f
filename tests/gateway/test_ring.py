"""The ring of the last records, as its writer, its readers and those who come after a crash find it."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.board import Seat
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.records.ring import MAX_RECORD_BYTES, SLOT_BYTES, Ring
from lmaas_gateway.records.rings import Rings, open_rings
from lmaas_gateway.settings import RecordSettings

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = RecordSettings(calls=4, notable_calls=2)


def texts(ring: Ring) -> list[bytes]:
    return [record for _, record in ring.newest_first()]


def numbered(count: int) -> list[bytes]:
    return [b"record %d" % number for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11])
def test_newest_records_are_there_newest_first_and_older_ones_make_room(count: int) -> None:
    ring = Ring.in_memory(4)
    for record in numbered(count):
        assert ring.write(record)
    assert texts(ring) == numbered(count)[::-1][:4]
    assert [number for number, _ in ring.newest_first()] == list(range(1, count + 1))[::-1][:4]


def test_record_that_is_longer_than_a_slot_is_refused_and_harms_none() -> None:
    ring = Ring.in_memory(2)
    assert ring.write(b"x" * MAX_RECORD_BYTES)
    assert not ring.write(b"y" * (MAX_RECORD_BYTES + 1))
    assert texts(ring) == [b"x" * MAX_RECORD_BYTES]


def test_other_processes_read_what_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "0u.calls"
    ring = Ring.open(path, 4)
    other = Ring.read(path)
    assert other is not None
    assert texts(other) == []
    for record in numbered(6):
        ring.write(record)
    assert texts(other) == numbered(6)[:1:-1]
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_takes_the_place_of_a_dead_process_goes_on_in_its_ring(tmp_path: Path) -> None:
    path = tmp_path / "0u.calls"
    Ring.open(path, 4).write(b"of the dead")
    ring = Ring.open(path, 4)
    ring.write(b"of its successor")
    assert texts(ring) == [b"of its successor", b"of the dead"]


def test_ring_of_another_length_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "0u.calls"
    Ring.open(path, 4).write(b"old")
    assert texts(Ring.open(path, 8)) == []


@pytest.mark.parametrize("cut_at", [0, 4, 17, 30])
def test_slot_in_which_the_writer_died_counts_as_empty(tmp_path: Path, cut_at: int) -> None:
    path = tmp_path / "0u.calls"
    ring = Ring.open(path, 4)
    for record in (b"first", b"second", b"third"):
        ring.write(record)
    # Some bytes of a newer record have come over the second, up to where the process was killed.
    at = 64 + SLOT_BYTES + cut_at
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa7")
    other = Ring.read(path)
    assert other is not None
    survivors = [b"third", b"first"] if cut_at < 16 + len(b"second") else [b"third", b"second", b"first"]
    assert texts(other) == survivors


def test_record_written_over_while_it_is_read_is_not_given_twice() -> None:
    ring = Ring.in_memory(4)
    for record in numbered(4):
        ring.write(record)
    read = ring.newest_first()
    assert next(read) == (4, b"record 3")
    for record in (b"new 4", b"new 5", b"new 6"):
        ring.write(record)
    assert list(read) == []


def test_search_finds_records_by_their_words_in_its_part_of_the_slots() -> None:
    ring = Ring.in_memory(8)
    for record in numbered(8):
        ring.write(record)
    assert list(ring.holding(b"record 5", 0, 8)) == [b"record 5"]
    assert list(ring.holding(b"record", 2, 4)) == [b"record 2", b"record 3"]
    assert list(ring.holding(b"record 5", 0, 4)) == []
    assert list(ring.holding(b"record", 6, 99)) == [b"record 6", b"record 7"]


def test_what_is_no_ring_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "0u.calls"
    for content in (b"", b"x" * 64, b"x" * 5000):
        path.write_bytes(content)
        assert Ring.read(path) is None
    Ring.open(path, 4)
    with path.open("r+b") as file:
        file.truncate(64 + SLOT_BYTES)
    assert Ring.read(path) is None


def test_workers_see_each_others_rings_those_of_later_ones_too(tmp_path: Path) -> None:
    first = Rings(SETTINGS, Seat(tmp_path, 0, 2))
    assert {name for name, _ in first.all()} == {"0u", "0n"}
    second = Rings(SETTINGS, Seat(tmp_path, 1, 2))
    second.usual.write(b"from the second")
    found = dict(first.all())
    assert set(found) == {"0u", "0n", "1u", "1n"}
    assert texts(found["1u"]) == [b"from the second"]
    (tmp_path / "torn.calls").write_bytes(b"")
    assert set(dict(first.all())) == {"0u", "0n", "1u", "1n"}
    for rings in (first, second):
        rings.close()


def test_no_room_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(SettingsError, match="no room for 4 records"):
        open_rings(SETTINGS, Seat(tmp_path, 0, 1))


def test_ring_takes_a_kibibyte_a_record(tmp_path: Path) -> None:
    Ring.open(tmp_path / "ring", 16)
    assert (tmp_path / "ring").stat().st_size == 16 * 1024 + 64
    assert mmap.PAGESIZE >= 64
