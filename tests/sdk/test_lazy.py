from __future__ import annotations

import subprocess
import sys

import pytest

import lmaas.types
from lmaas._lazy import by_name


def test_names_are_grouped_by_module() -> None:
    assert by_name({"m": "A B", "n": "C"}) == {"A": "m", "B": "m", "C": "n"}


def test_unknown_name_is_an_attribute_error_as_usual() -> None:
    with pytest.raises(AttributeError, match=r"module 'lmaas\.types' has no attribute 'Nothing'"):
        _ = lmaas.types.Nothing


def test_client_imports_rare_resources_when_first_used() -> None:
    program = """
import sys, lmaas
client = lmaas.LMaaS()
rare = {"files", "batches", "responses", "rerank", "chat_stream"}
assert not rare & {name.rpartition(".")[2] for name in sys.modules if name.startswith("lmaas.")}
assert client.files is client.files
assert "lmaas.types.file" in sys.modules and "lmaas.types.batch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
