"""Runs a Python program, and counts the bytecodes of each function between SIGUSR1 and SIGUSR2."""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

_COUNTS: Counter[str] = Counter()


def _trace(frame: FrameType, event: str, argument: object) -> object:
    del argument
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    if event == "opcode":
        code = frame.f_code
        _COUNTS[f"{code.co_qualname} ({Path(code.co_filename).name})"] += 1
    return _trace


def _begin(*_: object) -> None:
    _COUNTS.clear()
    sys.settrace(_trace)  # type: ignore[arg-type]  # the declared type cannot name itself


def _end(*_: object) -> None:
    sys.settrace(None)
    path = Path(os.environ["LMAAS_TRACED_COUNTS"])
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_COUNTS))
    part.rename(path)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _begin)
    signal.signal(signal.SIGUSR2, _end)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
