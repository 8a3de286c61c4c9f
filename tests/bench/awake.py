"""Keeps idle cores awake while something is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LATENCY = Path("/dev/cpu_dma_latency")
_AT_ONCE = (0).to_bytes(4, "little")  # microseconds that a wake-up may take, as the kernel reads them


@contextmanager
def awake_cores(latency: Path = _LATENCY) -> Iterator[bool]:
    """Let no idle core sleep meanwhile, and tell whether that could be had; it takes root.

    A core of a virtual machine that sleeps is given back to the host, which takes its time to return it: a
    wake-up then costs what the host's other guests leave. Latency tests (cyclictest, tuned's profile
    latency-performance) hold the kernel's quality-of-service file open at 0 for the same reason.
    """
    try:
        # Not created: where the kernel has no such file there is nothing to ask.
        asked = os.open(latency, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        os.write(asked, _AT_ONCE)
        yield True
    finally:
        os.close(asked)
