"""Choosing a model and a platform on evidence: `select` says which, how surely, and why in plain words."""

from __future__ import annotations

from lmaas.selection._answer import Answer, Kind
from lmaas.selection._candidate import Candidate, Fit, Fleet, Overheads
from lmaas.selection._file import Choice
from lmaas.selection._metrics import METRICS, Metric, Score
from lmaas.selection._preferences import Criterion, Preferences
from lmaas.selection._rules import Check, Rules, Status
from lmaas.selection._select import Options, select
from lmaas.selection._selection import Option, Selection
from lmaas.selection._sized import Sized, size
from lmaas.selection._spending import Bill, Spending
from lmaas.selection._task import TaskSpec

__all__ = [
    "METRICS",
    "Answer",
    "Bill",
    "Candidate",
    "Check",
    "Choice",
    "Criterion",
    "Fit",
    "Fleet",
    "Kind",
    "Metric",
    "Option",
    "Options",
    "Overheads",
    "Preferences",
    "Rules",
    "Score",
    "Selection",
    "Sized",
    "Spending",
    "Status",
    "TaskSpec",
    "select",
    "size",
]
