"""The callers that the configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.call import Principal
from lmaas_gateway.identity.keys import read_id

if TYPE_CHECKING:
    from lmaas_gateway.identity.salts import Salts
    from lmaas_gateway.settings import Settings

PRIORITIES = {"high": -1, "normal": 0, "low": 1}
"""As vLLM counts, by the words of people."""


def principals_of(settings: Settings, salts: Salts | None = None) -> dict[str, Principal]:
    """List whom the configuration lets in, by key.

    Args:
        settings: Name them.
        salts: Keep their prompts apart; None leaves that to the callers.
    """
    principals = {
        key.key.get_secret_value(): Principal(key.name, key.weight, PRIORITIES[key.priority])
        for key in settings.keys
    }
    if settings.api_key is not None:
        principals[settings.api_key.get_secret_value()] = Principal("api-key", is_shared=True)
    if salts is None:
        return principals
    return {key: salts.give(principal) for key, principal in principals.items()}


def names_key(settings: Settings) -> bool:
    """Tell whether the configuration names a key, of callers or of the operator, that opens this gateway."""
    api_key = settings.api_key
    return (
        settings.admin_key is not None
        or bool(settings.keys)
        or (api_key is not None and not is_of_store(api_key.get_secret_value()))
    )


def is_of_store(key: str) -> bool:
    """Tell whether a key has the form of those of the store, which alone says whom such a key stands for.

    A shell in which `LMAAS_API_KEY` was exported for calls may be the one that starts the next gateway.
    """
    return read_id(key.encode()) is not None
