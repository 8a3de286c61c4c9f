"""Quality, measured on examples: `evaluate("classification", Dataset.load(...), ["model-a", "model-b"])`.

It needs numpy, and translation sacrebleu: `pip install 'lmaas[choose]'`.
"""

from __future__ import annotations

from lmaas.evaluation._errors import DatasetError, EvaluationError, needs

try:
    import numpy as _numpy
except ImportError:
    raise needs("numpy") from None
del _numpy

# ruff: noqa: E402 - numpy first, so that its absence is told in our words

from lmaas.evaluation._candidate import Candidate
from lmaas.evaluation._dataset import Dataset
from lmaas.evaluation._evaluate import EvaluationOptions, evaluate, evaluate_async
from lmaas.evaluation._kinds import TaskName
from lmaas.evaluation._metric import Metric, Prediction
from lmaas.evaluation._outcome import Outcome
from lmaas.evaluation._report import Report
from lmaas.evaluation._resampling import Difference, Interval
from lmaas.evaluation._scoring import Comparison, Scored

__all__ = [
    "Candidate",
    "Comparison",
    "Dataset",
    "DatasetError",
    "Difference",
    "EvaluationError",
    "EvaluationOptions",
    "Interval",
    "Metric",
    "Outcome",
    "Prediction",
    "Report",
    "Scored",
    "TaskName",
    "evaluate",
    "evaluate_async",
]
