"""Measuring platforms under one's own workload: `lmaas bench` and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas import _lazy
from lmaas.measuring._errors import MeasurementError
from lmaas.measuring._estimate import Distribution, Estimate
from lmaas.measuring._lengths import FixedLength, Lengths, LognormalLengths, ObservedLengths, UniformLengths
from lmaas.measuring._result import DEFINITIONS, GeneratorHealth, Level, Measurement
from lmaas.measuring._slo import SLO
from lmaas.measuring._workload import LoggedCall, Workload

if TYPE_CHECKING:
    from lmaas.measuring._measure import measure
    from lmaas.measuring._record import BenchReport, Pairing
    from lmaas.measuring._run import BenchPlan
    from lmaas.measuring._targets import Target, target_of

__all__ = [
    "DEFINITIONS",
    "SLO",
    "BenchPlan",
    "BenchReport",
    "Distribution",
    "Estimate",
    "FixedLength",
    "GeneratorHealth",
    "Lengths",
    "Level",
    "LoggedCall",
    "LognormalLengths",
    "Measurement",
    "MeasurementError",
    "ObservedLengths",
    "Pairing",
    "Target",
    "UniformLengths",
    "Workload",
    "measure",
    "target_of",
]

# What needs numpy or the client, for those who only describe workloads.
__getattr__ = _lazy.lazy_names(
    __name__,
    _lazy.by_name(
        {
            "lmaas.measuring._measure": "measure",
            "lmaas.measuring._record": "BenchReport Pairing",
            "lmaas.measuring._run": "BenchPlan",
            "lmaas.measuring._targets": "Target target_of",
        }
    ),
)
