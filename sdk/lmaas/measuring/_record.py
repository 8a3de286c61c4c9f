"""Measurements as plain values: what JSON reports hold, and what is read back from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from lmaas._version import __version__
from lmaas.errors import ConfigurationError
from lmaas.measuring._estimate import Estimate
from lmaas.measuring._levels import level_of, paired
from lmaas.measuring._result import DEFINITIONS, Measurement
from lmaas.measuring._rows import Leg
from lmaas.measuring._run import BenchPlan, RunResult

_FORMAT: Final = 1
_COMPARED: Final = ("ttft_s", "tpot_s", "e2e_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """How two platforms compare, call by call, at one rate.

    Attributes:
        platform: The one.
        other: The other.
        calls_per_s: At which arrival rate.
        differences: By `ttft_s`, `tpot_s` and `e2e_s`: the median of "the one less the other", in seconds.
    """

    platform: str
    other: str
    calls_per_s: float
    differences: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """What a run came to.

    Attributes:
        measurements: One a target.
        pairings: Every pair of targets at every rate.
        spent_usd: What the run cost, where prices are known.
        stopped: Why it ended early; "" if it did not.
        notes: What readers should know of these figures.
    """

    run_id: str
    started_at: datetime
    command: str
    measurements: tuple[Measurement, ...]
    pairings: tuple[Pairing, ...] = ()
    spent_usd: float = 0.0
    stopped: str = ""
    notes: tuple[str, ...] = ()
    version: str = __version__
    definitions: Mapping[str, str] = field(default_factory=lambda: dict(DEFINITIONS))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        plain = asdict(self)
        plain["started_at"] = self.started_at.isoformat()
        for measurement in plain["measurements"]:
            measurement["started_at"] = measurement["started_at"].isoformat()
        evidence = {
            f"{measurement.platform}/{measurement.model}": [one.to_dict() for one in measurement.evidence()]
            for measurement in self.measurements
        }
        return {"format": _FORMAT, **plain, "evidence": evidence}

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> BenchReport:
        """Read what `to_json` wrote, such as for the selection.

        Raises:
            ConfigurationError: the file cannot be read, or is no such report.
        """
        path = Path(path)
        try:
            plain = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path.name} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise ConfigurationError(f"{path.name} is no JSON.") from None
        if not isinstance(plain, dict) or plain.pop("format", None) != _FORMAT:
            raise ConfigurationError(f"{path.name} is no report of this release's `lmaas bench`.")
        plain.pop("evidence", None)  # follows from the rest
        try:
            return TypeAdapter(cls).validate_python(plain)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, found["loc"]))
            raise ConfigurationError(f"{path.name}: {where}: {found['msg']}.") from None


def report_of(
    plan: BenchPlan, result: RunResult, *, run_id: str, started_at: datetime, command: str
) -> BenchReport:
    """Sum up a run."""
    measurements = []
    for target in plan.targets:
        legs = [leg for leg in result.legs if leg.platform == target.label]
        levels = [level_of(some, plan.workload.slo, target.price) for some in _by_rate(legs) if some]
        measurements.append(
            Measurement(
                platform=target.label,
                model=result.models[target.label],
                workload=plan.workload.name,
                slo=plan.workload.slo,
                levels=tuple(level for level in levels if level.calls),
                expected_per_s=plan.workload.calls_per_s,
                run_id=run_id,
                started_at=started_at,
                command=command,
            )
        )
    return BenchReport(
        run_id=run_id,
        started_at=started_at,
        command=command,
        measurements=tuple(measurements),
        pairings=tuple(_pairings(plan, result.legs)),
        spent_usd=result.spent_usd,
        stopped=result.stopped,
        notes=tuple(_notes(plan)),
    )


def _by_rate(legs: Sequence[Leg]) -> list[list[Leg]]:
    rates = sorted({leg.calls_per_s for leg in legs})
    return [[leg for leg in legs if leg.calls_per_s == rate] for rate in rates]


def _pairings(plan: BenchPlan, legs: Sequence[Leg]) -> list[Pairing]:
    labels = [target.label for target in plan.targets]
    pairs = [(one, other) for i, one in enumerate(labels) for other in labels[i + 1 :]]
    found = []
    for rate in plan.rates:
        at_rate = [leg for leg in legs if leg.calls_per_s == rate]
        for one, other in pairs:
            ours, theirs = ([leg for leg in at_rate if leg.platform == name] for name in (one, other))
            differences = {what: paired(ours, theirs, what) for what in _COMPARED}
            known = {what: found for what, found in differences.items() if found is not None}
            if known:
                found.append(Pairing(platform=one, other=other, calls_per_s=rate, differences=known))
    return found


def _notes(plan: BenchPlan) -> list[str]:
    notes = []
    workload = plan.workload
    if workload.calls and plan.blocks * len(plan.rates) * len(plan.targets) > 1:
        notes.append(
            "Prompts of a log are sent again in every leg, so that servers with a prefix cache may know "
            "them: see the share of cached prompt tokens."
        )
    if workload.is_estimated:
        notes.append("The log has no usage: its lengths were estimated from the texts.")
    if not workload.calls:
        notes.append(
            "Prompts are random words of the described lengths; they have the shared beginning only."
        )
    return notes
