"""Looking at replies, and prompts whose answer is known."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from lmaas_gateway.settings.fields import FROZEN


class QualitySettings(BaseModel):
    """How many replies are looked at, for truncation, refusals, schemas, emptiness, loops and language."""

    model_config = FROZEN

    sample_rate: float = Field(
        default=0.05, ge=0, le=1, description="Which part of replies is looked at; 0 looks at none."
    )
    max_per_s: int = Field(
        default=5, ge=1, le=1000, description="How many each worker looks at in a second at most."
    )


class Expectation(BaseModel):
    """What holds of the reply to a canary prompt. All that is given must hold."""

    model_config = FROZEN

    contains: str | None = Field(
        default=None, min_length=1, description="It contains this text, in any case of letters."
    )
    regex: str | None = Field(
        default=None, min_length=1, max_length=1000, description="This matches within it."
    )
    json_schema: dict[str, Any] | None = Field(
        default=None, description="It is JSON, and what this JSON schema asks for."
    )
    language: (
        Literal["en", "zh", "de", "fr", "es", "it", "pt", "ja", "ko", "ru", "ar", "he", "el", "th", "hi"]
        | None
    ) = Field(default=None, description="It is in this language.")
    max_first_token_s: float | None = Field(
        default=None, gt=0, description="Its first token comes within this time."
    )

    @field_validator("regex")
    @classmethod
    def _check_regex(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            message = f"{text!r} is no regular expression: {error}"
            raise ValueError(message) from None
        return text


class CanaryPrompt(BaseModel):
    """A prompt that is sent now and then, to see whether a model still answers as it should."""

    model_config = FROZEN

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = Field(
        description="Its name in metrics, alerts and the log."
    )
    model: str = Field(min_length=1, description="The model, or one of its aliases.")
    messages: tuple[dict[str, Any], ...] = Field(min_length=1, description="As in a chat completion.")
    params: dict[str, Any] = Field(
        default={},
        description="Further parameters; `temperature` 0 and `max_tokens` 64 unless they say else.",
    )
    every_s: float = Field(default=300.0, ge=1, description="How often it is sent.")
    timeout_s: float = Field(default=60.0, gt=0, description="A reply that takes longer is a failure.")
    expect: Expectation = Field(default=Expectation(), description="What holds of the reply.")

    @model_validator(mode="after")
    def _check_params(self) -> Self:
        taken = {"model", "messages", "stream", "n"} & set(self.params)
        if taken:
            message = f"canary prompt {self.name!r}: `params` may not hold {', '.join(sorted(taken))}"
            raise ValueError(message)
        return self
