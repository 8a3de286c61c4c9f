"""What has happened so far to each objective, read out of the sums of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.metrics import names
from lmaas_gateway.watching.burn import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.metrics.names import Spec
    from lmaas_gateway.tallies import Counter, Tallies
    from lmaas_gateway.watching.burn import Objective

LATENCIES = {"ttft": names.FIRST_TOKEN, "inter_token": names.INTER_TOKEN}
"""Which histogram tells how quick a model is, by objective."""

_MODEL, _CODE = names.CALLS.labels.index("model"), names.CALLS.labels.index("code")


def counts_of(objective: Objective, totals: Tallies) -> Counts:
    """Give the events of an objective since the gateway began; of availability, which is no sum, none."""
    if objective.name == "error_rate":
        return _calls(objective.model, totals)
    if objective.name == "availability" or objective.threshold_s is None:
        return Counts()
    return _slow(LATENCIES[objective.name], objective.model, objective.threshold_s, totals)


def _calls(model: str, totals: Tallies) -> Counts:
    """Count calls that came to something, or failed; what callers do wrong (4xx) says nothing of a model.

    A call that breaks off after its first byte has the code 200, and failed all the same.
    """
    good = bad = 0.0
    for labels, counter in totals.counters.get(names.CALLS.name, {}).items():
        if labels[_MODEL] == model and not labels[_CODE].startswith("4"):
            if labels[_CODE].startswith("5"):
                bad += counter.value
            else:
                good += counter.value
    bad_later = sum(counter.value for counter in _of_model(names.INTERRUPTED, model, totals))
    return Counts(bad + bad_later, good + bad)


def _of_model(spec: Spec, model: str, totals: Tallies) -> Iterator[Counter]:
    place = spec.labels.index("model")
    for labels, counter in totals.counters.get(spec.name, {}).items():
        if labels[place] == model:
            yield counter


def _slow(spec: Spec, model: str, threshold_s: float, totals: Tallies) -> Counts:
    place = spec.labels.index("model")
    bad = total = 0
    for labels, histogram in totals.histograms.get(spec.name, {}).items():
        if labels[place] == model:
            total += sum(histogram.counts)
            # The threshold is a bound: what is over it lies in the buckets after its own.
            bad += sum(histogram.counts[histogram.bounds.index(threshold_s) + 1 :])
    return Counts(bad, total)
