"""Settings for people to see, without what is secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmaas_gateway.settings.root import Settings

_MASK = "**********"
_SECRET = re.compile("key|token|secret|password", re.IGNORECASE)


def mask(settings: Settings) -> dict[str, Any]:
    """Write all settings for people to see: secrets, and engine arguments that may be some, are masked."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    for model in shown["models"]:
        model["engine_args"] = list(_mask_arguments(model["engine_args"]))
    return shown


def _mask_arguments(arguments: Iterable[str]) -> Iterator[str]:
    """Mask all values of flags that sound secret, however many, and those inside JSON."""
    is_secret = False
    for argument in arguments:
        name, has_value, value = argument.partition("=")
        if name.startswith("-"):
            is_secret = _SECRET.search(name) is not None
            # Of a name with a dot vLLM makes JSON itself: `--config.password x`.
            shown = (_MASK if is_secret else _mask_json(value)) if has_value else ""
            yield f"{name}{has_value}{shown}"
        else:
            yield _MASK if is_secret else _mask_json(argument)


def _mask_json(text: str) -> str:
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        # An engine may read what we cannot.
        return _MASK if _SECRET.search(text) else text
    masked = _mask_inside(value)
    return text if masked == value else json.dumps(masked)


def _mask_inside(value: Any) -> Any:
    if isinstance(value, list):
        return [_mask_inside(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _MASK if _SECRET.search(key) and isinstance(item, str | list | dict) else _mask_inside(item)
            for key, item in value.items()
        }
    return value
