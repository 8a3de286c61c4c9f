"""The lmaas gateway: an OpenAI-compatible API over vLLM replicas. Read `pipeline.py` first."""

from importlib.metadata import version

__version__ = version("lmaas")
