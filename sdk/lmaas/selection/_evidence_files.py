"""Evidence from files: what other commands have measured, put to the candidates that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lmaas.errors import ConfigurationError
from lmaas.evidence import Evidence
from lmaas.platforms._files import read_mapping
from lmaas.selection._candidate import Candidate
from lmaas.selection._metrics import metric_of

_OF_A_MODEL: Final = frozenset({"quality", "parse_failure_rate"})


def read_evidence(paths: Iterable[Path], candidates: Sequence[Candidate]) -> dict[str, tuple[Evidence, ...]]:
    """Return the evidence of all files by candidate.

    A file says `{"evidence": {NAME: [{metric, value, …}]}}`, as reports of `lmaas bench` and `lmaas evaluate`
    do. NAME is a candidate's name, its platform and model as in `groq/llama-3.1-8b-instant`, or a model: then
    how good its answers are counts wherever it runs, and how quick or sure they came does not. What is about
    others than the candidates is left out.

    Raises:
        ConfigurationError: a file cannot be read, or holds no evidence of any candidate.
    """
    found: dict[str, tuple[Evidence, ...]] = {}
    for path in paths:
        content = read_mapping(path).get("evidence")
        if not isinstance(content, Mapping):
            raise ConfigurationError(f"{path.name}: holds no `evidence`; give a report as JSON")
        names = {candidate.name: _names(candidate) for candidate in candidates}
        if not any(name in content for known in names.values() for name in known):
            about = ", ".join(map(str, content)) or "nobody"
            raise ConfigurationError(f"{path.name}: is about {about}, and none of these is a candidate")
        for candidate, known in names.items():
            told = [
                (name, _read(one, path)) for name in dict.fromkeys(known) for one in content.get(name, ())
            ]
            own = known[:2]
            counted = tuple(one for name, one in told if name in own or one.metric in _OF_A_MODEL)
            found[candidate] = found.get(candidate, ()) + counted
    return found


def _names(candidate: Candidate) -> tuple[str, ...]:
    """Return its own names, then that of its model alone."""
    return candidate.name, candidate.offer.id, candidate.offer.model


def _read(told: object, path: Path) -> Evidence:
    try:
        return _evidence(told)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path.name}: {error}") from None


def stated_evidence(told: object) -> Evidence:
    """Return evidence that somebody wrote by hand.

    Raises:
        ConfigurationError: it is none, or would not be asked: its metric is not known, or is computed.
    """
    evidence = _evidence(told)
    if metric_of(evidence.metric).is_computed:
        raise ConfigurationError(
            f"evidence of {evidence.metric}: it is computed, from prices, machines, goodput_per_s and "
            "error_rate; give those"
        )
    return evidence


def _evidence(told: object) -> Evidence:
    if not isinstance(told, Mapping):
        raise ConfigurationError("evidence is a mapping with metric, value, grade and source")
    return Evidence.from_dict(told)
