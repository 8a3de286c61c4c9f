"""The command line: `lmaas serve`, `lmaas chat`, `lmaas embed`, `lmaas models`."""

from lmaas.cli._main import main

__all__ = ["main"]
