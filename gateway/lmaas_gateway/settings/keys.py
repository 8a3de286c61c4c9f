"""The keys of principals."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from lmaas_gateway.settings.fields import FROZEN
from lmaas_gateway.settings.quotas import QuotaSettings

Priority = Literal["high", "normal", "low"]

MIN_KEY_CHARS = 16
TOO_SHORT = f"is shorter than {MIN_KEY_CHARS} characters; make one with: openssl rand -hex 24"
# Principals that are not in `keys`: the holder of `api_key`, and everybody where there is no key.
_TAKEN_NAMES = frozenset({"api-key", "anonymous"})


class KeySettings(BaseModel):
    """A key of one principal, and what it may."""

    model_config = FROZEN

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="The principal's name, as it stands in the access log.",
    )
    key: SecretStr = Field(description="What it sends as a bearer token; at least 16 characters.")
    weight: float = Field(
        default=1.0,
        ge=0.01,
        le=1000,
        description="Its part of a pool, relative to others', when calls wait.",
    )
    priority: Priority = Field(
        default="normal",
        description="Its class: when calls wait, `high` goes first and `low` last. "
        "A call may ask for a lower one.",
    )
    limits: QuotaSettings = Field(default=QuotaSettings(), description="What it may use.")

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < MIN_KEY_CHARS:
            raise ValueError(TOO_SHORT)
        return key


def check_key_names(keys: tuple[KeySettings, ...]) -> None:
    """Check that each principal has a name of its own.

    Raises:
        ValueError: one has not.
    """
    names = [key.name for key in keys]
    for name in names:
        if names.count(name) > 1 or name in _TAKEN_NAMES:
            message = f"the name {name!r} is taken; give each key a `name` of its own"
            raise ValueError(message)
