"""Measuring platforms under one's own workload: `lmaas bench` and what it is made of."""

from __future__ import annotations

from lmaas.measuring._estimate import Distribution, Estimate
from lmaas.measuring._lengths import FixedLength, Lengths, LognormalLengths, ObservedLengths, UniformLengths
from lmaas.measuring._result import DEFINITIONS, GeneratorHealth, Level, Measurement
from lmaas.measuring._slo import SLO
from lmaas.measuring._workload import LoggedCall, Workload

__all__ = [
    "DEFINITIONS",
    "SLO",
    "Distribution",
    "Estimate",
    "FixedLength",
    "GeneratorHealth",
    "Lengths",
    "Level",
    "LoggedCall",
    "LognormalLengths",
    "Measurement",
    "ObservedLengths",
    "UniformLengths",
    "Workload",
]
