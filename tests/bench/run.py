"""`make bench`: lmaas beside other gateways and beside direct vLLM, written to docs/benchmarks.md."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from bench.cli import main

    # An exception unwinds the run, so that an ended benchmark leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
