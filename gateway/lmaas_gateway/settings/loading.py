"""The environment and the configuration file are read into settings in this one file.

Later sources win: defaults, then the YAML file, then `LMAAS_*` environment variables, then command-line
flags. The result is frozen; a setting that cannot work raises `SettingsError` with what to do about it.
A group's setting is written with two underscores: `LMAAS_TIMEOUTS__CONNECT_S=5`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.settings.explanation import explain
from lmaas_gateway.settings.root import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "LMAAS_"


def load_settings(
    config: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Read all sources into one frozen value.

    Args:
        config: The YAML file; default: the one that `LMAAS_CONFIG` names.
        flags: Settings given on the command line, which win.
        environ: The environment.

    Raises:
        SettingsError: the file cannot be read, or a setting cannot work.
    """
    if config is None and environ.get("LMAAS_CONFIG"):
        config = Path(environ["LMAAS_CONFIG"])
    text = "" if config is None else _read_text(config)
    values = {} if config is None else _parse(config, text)
    values = _overlay(values, _read_environ(environ))
    values = _overlay(values, flags or {})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(explain(error, config, text)) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"the configuration file {path} is not YAML: {error}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1},"
        problem = ": ".join(filter(None, (error.context, error.problem)))
        raise SettingsError(f"the configuration file {path}{line} is not YAML: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Of a date or a number that is none, PyYAML lets Python's own error out.
        raise SettingsError(f"the configuration file {path} is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"the configuration file {path} must hold settings by name, such as `port: 8000`")
    return values


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """Take the variables that name a setting. `LMAAS_BASE_URL` and the like are others'."""
    values: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        variable = _PREFIX + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            group = {
                key: text
                for key in field.annotation.model_fields
                if (text := environ.get(f"{variable}__{key.upper()}", ""))
            }
            values |= {name: group} if group else {}
        elif text := environ.get(variable, ""):
            values[name] = _read_list(variable, text) if name in {"models", "keys"} else text
    return values


def _read_list(variable: str, text: str) -> Any:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(f"{variable} is not a JSON list, nor names with commas between them") from None


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
