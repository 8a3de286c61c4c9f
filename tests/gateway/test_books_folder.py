"""Folders of journals, and the slots of open calls: what a dead process left is one other's, whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.books.folder import adopt, enter
from lmaas_gateway.books.open_calls import NAME, OpenCalls, read_open_calls
from lmaas_gateway.books.segments import Segment
from lmaas_gateway.call import Usage
from lmaas_gateway.entries import Entry, decode, encode, ledger_id, make_boot_id
from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIES = """
import os, sys
from pathlib import Path
from lmaas_gateway.books.folder import enter
from lmaas_gateway.books.open_calls import NAME, OpenCalls
from lmaas_gateway.books.segments import Segment
own = enter(Path(sys.argv[1]))
segment = Segment.create(own.path / "1.journal", 4096)
segment.write(b"written before it died")
calls = OpenCalls(own.path / NAME, 16)
os.kill(os.getpid(), 9)
"""


def entry(sequence: int = 7, **fields: object) -> Entry:
    made = Entry(sequence, "req", 5, "org_1", "proj_1", "key1", "user_1", "m", "m-0", "/v1/x", True)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[OpenCalls]:
    made = OpenCalls(tmp_path / NAME, 16)
    yield made
    made.close()


def left(slots: OpenCalls, tmp_path: Path) -> list[tuple[Entry, Usage]]:
    return list(read_open_calls(tmp_path / NAME))


def test_entry_is_read_as_it_was_written() -> None:
    written = entry(cost_nanos=2**40, price='{"gpus":2}', is_estimated=True)
    assert decode(encode(written)) == written


def test_names_in_the_ledger_are_unique_and_in_order() -> None:
    first = make_boot_id()
    time.sleep(0.002)
    second = make_boot_id()
    names = [ledger_id(boot, sequence) for boot in (first, second) for sequence in (0, 1, 15, 16, 10**9)]
    assert names == sorted(set(names))
    assert len(names[0]) <= 64


def test_call_that_was_given_nothing_costs_nothing(slots: OpenCalls, tmp_path: Path) -> None:
    slots.take(encode(entry(prompt_tokens=12)))
    assert left(slots, tmp_path) == [(entry(prompt_tokens=12), Usage())]


def test_stream_costs_what_it_was_given(slots: OpenCalls, tmp_path: Path) -> None:
    call = slots.take(encode(entry(prompt_tokens=12)))
    assert call is not None
    call.note_tokens(0)
    assert left(slots, tmp_path)[0][1] == Usage(12, 0, is_estimated=True)
    call.note_tokens(5)
    call.note_tokens(6)
    assert left(slots, tmp_path)[0][1] == Usage(12, 6, is_estimated=True)


def test_what_the_replica_told_is_exact(slots: OpenCalls, tmp_path: Path) -> None:
    call = slots.take(encode(entry()))
    assert call is not None
    call.note_tokens(5)
    call.note_usage(Usage(10, 7, 4, reasoning_tokens=2))
    assert left(slots, tmp_path)[0][1] == Usage(10, 7, 4, reasoning_tokens=2)


def test_freed_slot_tells_nothing_and_its_next_call_nothing_of_the_last(
    slots: OpenCalls, tmp_path: Path
) -> None:
    call = slots.take(encode(entry(1)))
    assert call is not None
    call.note_usage(Usage(10, 7))
    call.free()
    assert left(slots, tmp_path) == []
    slots.take(encode(entry(2)))
    assert left(slots, tmp_path) == [(entry(2), Usage())]


def test_call_that_another_model_answers_is_written_anew(slots: OpenCalls, tmp_path: Path) -> None:
    call = slots.take(encode(entry(model="asked")))
    assert call is not None
    call.rewrite(encode(entry(model="answered")))
    call.rewrite(encode(entry(model="m" * 2000)))
    assert left(slots, tmp_path)[0][0].model == "answered"


def test_more_calls_than_slots_and_entries_too_long_go_without(slots: OpenCalls) -> None:
    assert slots.take(encode(entry(model="m" * 2000))) is None
    taken = [slots.take(encode(entry(number))) for number in range(17)]
    assert [call is None for call in taken] == [False] * 16 + [True]
    assert taken[3] is not None
    taken[3].free()
    assert slots.take(encode(entry())) is not None


@given(data=st.binary(max_size=4096))
def test_any_bytes_are_read_without_a_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("slots") / NAME
    path.write_bytes(data)
    assert list(read_open_calls(path)) == []


def test_damaged_slot_is_left_out(slots: OpenCalls, tmp_path: Path) -> None:
    slots.take(encode(entry(1)))
    slots.take(encode(entry(2)))
    data = bytearray((tmp_path / NAME).read_bytes())
    data[100] ^= 1
    (tmp_path / "copy").write_bytes(data)
    assert [found.sequence for found, _ in read_open_calls(tmp_path / "copy")] == [2]


def test_living_process_keeps_its_folder(tmp_path: Path) -> None:
    own = enter(tmp_path / "books")
    assert list(adopt(tmp_path / "books")) == []
    own.leave(is_done=False)


def test_what_a_killed_process_left_is_taken_by_one_other_only(tmp_path: Path) -> None:
    root = tmp_path / "books"
    process = subprocess.run([sys.executable, "-c", DIES, str(root)], check=False)
    assert process.returncode == -9
    own = enter(root)
    (folder,) = adopt(root)
    assert list(adopt(root)) == []
    batch = folder.unshipped.next_batch(9)
    assert batch is not None
    assert list(batch.payloads) == [b"written before it died"]
    assert list(folder.open_calls()) == []
    folder.leave()
    (again,) = adopt(root)
    assert again.boot == folder.boot
    again.drop()
    assert [path.name for path in root.iterdir()] == [own.boot]
    own.leave(is_done=True)
    assert list(root.iterdir()) == []


def test_folder_in_the_making_is_left_alone_until_it_is_old(tmp_path: Path) -> None:
    draft = tmp_path / ".new-0000"
    draft.mkdir()
    (draft / "lock").touch()
    assert list(adopt(tmp_path)) == []
    assert draft.exists()
    os.utime(draft, (0, 0))
    assert list(adopt(tmp_path)) == []
    assert not draft.exists()


def test_strange_files_beside_the_journals_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("x")
    (tmp_path / "folder").mkdir()
    assert list(adopt(tmp_path)) == []
    assert (tmp_path / "note").exists()


def test_torn_journal_is_taken_up_to_its_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = enter(tmp_path / "books")
    segment = Segment.create(own.path / "1.journal", 4096)
    segment.write(b"whole")
    at = segment.written
    segment.write(b"torn")
    segment.close()
    data = bytearray((own.path / "1.journal").read_bytes())
    data[at + 8] ^= 1
    (own.path / "1.journal").write_bytes(data)
    (own.path / "2.journal").write_bytes(b"no journal")
    own.leave(is_done=False)
    (folder,) = adopt(tmp_path / "books")
    batch = folder.unshipped.next_batch(9)
    assert batch is not None
    assert list(batch.payloads) == [b"whole"]
    assert "torn" in caplog.text
    folder.drop()


def test_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "books"
    root.mkdir(mode=0o755)
    with pytest.raises(SettingsError, match="chmod 700"):
        enter(root)


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used"):
        enter(tmp_path / "file" / "books")
