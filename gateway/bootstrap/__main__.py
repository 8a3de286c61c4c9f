"""Entry point of `python gateway/bootstrap …`.

This file and `interpreter.py` keep to the language of Python 3.8, so that an old default interpreter can
still hand over to a newer one, or say in one sentence what is missing.
"""

from __future__ import annotations

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - as run, unresolved


def main() -> int:
    """Run the command line with a supported interpreter, another one of this machine if need be."""
    from bootstrap import interpreter  # noqa: PLC0415 - importable only once sys.path[0] is set

    if not interpreter.is_supported(sys.version_info[:2]):
        return interpreter.hand_over(sys.argv)

    from bootstrap import cli  # noqa: PLC0415 - an old Python could not parse it

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
