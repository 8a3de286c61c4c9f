from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.runtime_folder import RuntimeFolder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="lm-") as folder:
        yield Path(folder)


def test_private_folder_is_in_the_users_runtime_folder_and_goes_when_closed(short: Path) -> None:
    folder = RuntimeFolder(None, {"XDG_RUNTIME_DIR": str(short)})
    assert folder.path.parent == short
    assert not folder.path.exists()
    folder.open()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()
    assert not folder.path.exists()
    folder.close()


@pytest.mark.parametrize("value", ["", "relative", "/no/such/folder", "/tmp/" + "x" * 80])
def test_unusable_runtime_folder_of_the_user_is_replaced(value: str) -> None:
    assert RuntimeFolder(None, {"XDG_RUNTIME_DIR": value}).path.parent == Path(tempfile.gettempdir())


def test_chosen_folder_is_made_private_and_kept(short: Path) -> None:
    folder = RuntimeFolder(short / "a" / "b", {})
    folder.open()
    folder.close()
    assert (short / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_chosen_folder_that_others_can_enter_is_refused(short: Path) -> None:
    (short / "open").mkdir()
    (short / "open").chmod(0o755)
    with pytest.raises(SettingsError, match="is open to other users; run chmod 700"):
        RuntimeFolder(short / "open", {}).open()


def test_chosen_folder_serves_one_gateway_at_a_time(short: Path) -> None:
    first, second = RuntimeFolder(short / "run", {}), RuntimeFolder(short / "run", {})
    first.open()
    with pytest.raises(SettingsError, match="another gateway uses"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_folder_that_cannot_be_made_is_a_sentence(short: Path) -> None:
    (short / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used"):
        RuntimeFolder(short / "file" / "run", {}).open()


def test_folder_of_a_killed_gateway_is_removed_by_the_next_and_that_of_a_living_one_is_not(
    short: Path,
) -> None:
    environ = {"XDG_RUNTIME_DIR": str(short)}
    living, killed, young = (RuntimeFolder(None, environ) for _ in range(3))
    for folder in (living, killed, young):
        folder.open()
    for folder in (living, killed):
        os.utime(folder.path / ".lock", (1, 1))
    for folder in (killed, young):
        # What the kernel does when a process is killed.
        assert folder._lock is not None
        os.close(folder._lock)
    following = RuntimeFolder(None, environ)
    following.open()
    assert set(short.iterdir()) == {living.path, young.path, following.path}
    for folder in (living, following):
        folder.close()


def test_path_too_long_for_sockets_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="set LMAAS_RUNTIME_DIR to a shorter path"):
        RuntimeFolder(Path("/tmp/" + "x" * 80), {})


def test_socket_names_are_plain_short_and_distinct() -> None:
    folder = RuntimeFolder(None, {})
    paths = [
        folder.socket_path(name, index, 0)
        for index, name in enumerate(["A/b c", "a-b-c", "é" * 200, "../.."])
    ]
    assert [path.name for path in paths[:2]] == ["a-b-c-0-0.sock", "a-b-c-1-0.sock"]
    assert all(path.parent == folder.path and len(str(path)) < 100 for path in paths)


def test_what_others_planted_neither_holds_up_the_start_nor_leads_astray(short: Path) -> None:
    (short / "lmaas-run-pipe").mkdir()
    os.mkfifo(short / "lmaas-run-pipe" / ".lock")
    victim = short / "victim"
    victim.mkdir()
    (victim / ".lock").touch()
    os.utime(victim / ".lock", (0, 0))
    (short / "lmaas-run-link").symlink_to(victim)
    (short / "lmaas-run-lock").mkdir()
    (short / "lmaas-run-lock" / ".lock").symlink_to(victim / ".lock")
    folder = RuntimeFolder(None, {"XDG_RUNTIME_DIR": str(short)})
    starting = threading.Thread(target=folder.open, daemon=True)
    starting.start()
    starting.join(5)
    assert not starting.is_alive()
    folder.close()
    assert (victim / ".lock").exists()
    assert (short / "lmaas-run-lock").exists()
