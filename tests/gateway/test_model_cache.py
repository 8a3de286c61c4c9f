from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.model_cache import MANIFEST, ModelCache

if TYPE_CHECKING:
    from pathlib import Path


def make(cache: ModelCache, key: str = "m", content: str = "weights") -> Path:
    with cache.locked(key, waiting=lambda: None), cache.staged(key) as stage:
        (stage / "sub").mkdir()
        (stage / "sub" / "file").write_text(content)
    folder = cache.find(key)
    assert folder is not None
    return folder


def test_prepared_model_is_found_and_whole(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "models")
    assert cache.find("m") is None
    folder = make(cache)
    assert (folder / "sub" / "file").read_text() == "weights"
    assert cache.verify("m") == ()


def make_half(cache: ModelCache) -> None:
    with cache.locked("m", waiting=lambda: None), cache.staged("m") as stage:
        (stage / "file").write_text("half")
        raise ValueError("no")


def test_failed_preparation_leaves_nothing(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    with pytest.raises(ValueError, match="no"):
        make_half(cache)
    assert cache.find("m") is None
    assert [path.name for path in tmp_path.iterdir()] == [".m.lock"]


def test_next_preparation_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    leftover = tmp_path / ".m.partial-abc"
    leftover.mkdir()
    (leftover / "file").write_text("half")
    make(ModelCache(tmp_path))
    assert not leftover.exists()


def test_file_of_another_size_or_missing_makes_the_model_unknown_and_remade(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    file = make(cache) / "sub" / "file"
    file.write_text("truncat")
    assert cache.find("m") is not None
    assert cache.verify("m") == ("sub/file",)
    file.write_text("short")
    assert cache.find("m") is None
    file.unlink()
    assert cache.find("m") is None
    assert cache.verify("m") == ("sub/file",)
    make(cache, content="new weights")
    assert cache.verify("m") == ()


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"files": {"a": 1}}', '{"files": {"a": {}}}', '{"files": []}']
)
def test_folder_with_a_broken_manifest_is_not_used(tmp_path: Path, manifest: str) -> None:
    cache = ModelCache(tmp_path)
    (make(cache) / MANIFEST).write_text(manifest)
    assert cache.find("m") is None
    assert cache.verify("m") == (MANIFEST,)


def test_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    cache = ModelCache(tmp_path / "models")
    with pytest.raises(SettingsError, match="set LMAAS_CACHE_DIR"), cache.locked("m", waiting=lambda: None):
        pass


def test_who_comes_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    # Each opening of the lock file is a holder of its own, so one process shows what two do.
    first = ExitStack()
    first.enter_context(ModelCache(tmp_path).locked("m", waiting=lambda: None))
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            first.close()

    said: list[str] = []
    with ModelCache(tmp_path, sleep=sleep).locked("m", waiting=lambda: said.append("waiting")):
        pass
    assert len(said) == len(waits) == 3
