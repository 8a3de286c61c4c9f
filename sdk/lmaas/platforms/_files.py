"""Files that people write: YAML, JSON or TOML, with errors that say which entry is wrong and what to do."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lmaas.errors import ConfigurationError


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Return what a file says; its name's end says in which language.

    Raises:
        ConfigurationError: it cannot be read, or is no mapping.
    """
    try:
        content = _parsed(path, path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path.name} is not a text in UTF-8.") from None
    except RecursionError:
        raise ConfigurationError(f"{path.name} cannot be understood: it is nested too deeply.") from None
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        raise ConfigurationError(f"{path.name} cannot be understood: {first_line}") from None
    if not isinstance(content, Mapping):
        message = f"{path.name} holds a {type(content).__name__}; give a mapping of names to values."
        raise ConfigurationError(message)
    return content


def _parsed(path: Path, text: str) -> Any:
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix in {".yaml", ".yml"}:
        return _from_yaml(text)
    message = f"its name ends in {path.suffix or 'nothing'}; give a file that ends in .yaml, .json or .toml"
    raise ValueError(message)


def _from_yaml(text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        message = "YAML needs PyYAML; run `pip install 'lmaas[choose]'`, or write it as JSON."
        raise ConfigurationError(message) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ValueError(f"{where}{getattr(error, 'problem', None) or 'it is no YAML'}") from None


def check_names(given: Iterable[object], known: Iterable[str], where: str) -> None:
    """Refuse names that are not known: a misspelt one would be ignored in silence.

    Raises:
        ConfigurationError: one is not known.
    """
    known = list(known)
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."
            raise ConfigurationError(f"{where}: {name!r} is not known; {hint}")
