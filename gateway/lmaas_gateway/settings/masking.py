"""Settings for people to see, without what is secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmaas_gateway.settings.root import Settings

_MASK = "**********"
_SECRET_FLAG = re.compile("key|token|secret|password", re.IGNORECASE)


def mask(settings: Settings) -> dict[str, Any]:
    """Write all settings for people to see: secrets, and engine arguments that may be some, are masked."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    for model in shown["models"]:
        arguments = model["engine_args"]
        for index, argument in enumerate(arguments):
            name, has_value, _ = argument.partition("=")
            if _SECRET_FLAG.search(name) and name.startswith("-"):
                if has_value:
                    arguments[index] = f"{name}={_MASK}"
                elif index + 1 < len(arguments):
                    arguments[index + 1] = _MASK
    return shown
