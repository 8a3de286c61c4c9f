from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.replicas import engine_log

if TYPE_CHECKING:
    from pathlib import Path

STARTED = "(APIServer pid=1) INFO 01-01 00:00:00 [api_utils.py:286] non-default args: {}\n"
CORE = "(EngineCore pid=2) INFO 01-01 00:00:00 [core.py:133] Initializing a V1 LLM engine (v0.32.0)\n"
LOADED = "(EngineCore pid=2) INFO 01-01 00:00:00 [default_loader.py:501] Loading weights took 1.67 seconds\n"


@pytest.mark.parametrize(
    ("text", "step"),
    [("", "step 1"), (STARTED, "step 2"), (STARTED + CORE, "step 3"), (CORE + LOADED, "step 4")],
)
def test_phase_follows_the_log(tmp_path: Path, text: str, step: str) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert engine_log.phase(log).startswith(f"{step} of 4, ")


def test_no_log_yet_is_the_first_phase_and_no_error(tmp_path: Path) -> None:
    assert engine_log.phase(tmp_path / "none").startswith("step 1 of 4")
    assert engine_log.last_error(tmp_path / "none") is None


def test_cause_is_taken_and_not_the_error_that_follows_from_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "(EngineCore pid=2) ERROR 01-01 [core.py:1] ValueError: one request needs 4 GiB\n"
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.\n"
    )
    assert engine_log.last_error(log) == "one request needs 4 GiB"


def test_argument_errors_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("usage: entry.py [options]\nentry.py: error: unrecognized arguments: --foo\n")
    assert engine_log.last_error(log) == "unrecognized arguments: --foo"


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ValueError: early\n" + "x" * 70_000)
    assert engine_log.last_error(log) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot open /home/someone/.cache/a b: no", "cannot open … b: no"),
        ("see https://user:pw@host/x?y for more", "see … for more"),
        ("'~/x' and (/tmp/y)", "'…' and (…)"),
        ("use float16/bfloat16", "use float16/bfloat16"),
        ("one\ntwo", "one"),
        ("", ""),
        ("x" * 500, "x" * 239 + "…"),
    ],
)
def test_safe_text_has_no_path_no_address_and_one_line(text: str, expected: str) -> None:
    assert engine_log.safe(text) == expected
