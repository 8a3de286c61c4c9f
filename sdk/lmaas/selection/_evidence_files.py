"""Evidence from files: what other commands have measured, put to the candidates that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lmaas.errors import ConfigurationError
from lmaas.evidence import Evidence
from lmaas.platforms._files import read_mapping
from lmaas.selection._candidate import Candidate

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


def _read(told: Any, path: Path) -> Evidence:
    if not isinstance(told, Mapping):
        raise ConfigurationError(f"{path.name}: evidence is a mapping with metric, value, grade and source")
    try:
        return Evidence.from_dict(told)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path.name}: {error}") from None
