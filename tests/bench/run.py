"""`make bench`: lmaas beside other gateways and beside direct vLLM, written to docs/benchmarks.md."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from bench.cli import main

    sys.exit(main(sys.argv[1:]))
