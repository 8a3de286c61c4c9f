"""Evidence from files: what other commands have measured, put to the candidates that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmaas.errors import ConfigurationError
from lmaas.evidence import Evidence
from lmaas.platforms._files import read_mapping
from lmaas.selection._candidate import Candidate


def read_evidence(paths: Iterable[Path], candidates: Sequence[Candidate]) -> dict[str, tuple[Evidence, ...]]:
    """Return the evidence of all files by candidate.

    A file says `{"evidence": {NAME: [{metric, value, …}]}}`, where NAME is a candidate's name, or its
    platform and model as in `groq/llama-3.1-8b-instant`. What is about nobody here is left out.

    Raises:
        ConfigurationError: a file cannot be read, or holds no evidence.
    """
    found: dict[str, tuple[Evidence, ...]] = {}
    for path in paths:
        content = read_mapping(path).get("evidence")
        if not isinstance(content, Mapping):
            raise ConfigurationError(f"{path.name}: holds no `evidence`; give a report as JSON")
        for candidate in candidates:
            for name in dict.fromkeys((candidate.name, candidate.offer.id)):
                told = tuple(_read(one, path) for one in content.get(name, ()))
                found[candidate.name] = found.get(candidate.name, ()) + told
    return found


def _read(told: Any, path: Path) -> Evidence:
    if not isinstance(told, Mapping):
        raise ConfigurationError(f"{path.name}: evidence is a mapping with metric, value, grade and source")
    try:
        return Evidence.from_dict(told)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path.name}: {error}") from None
