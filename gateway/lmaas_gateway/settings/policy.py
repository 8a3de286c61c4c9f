"""Parameters that callers may set, and their bounds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from lmaas_gateway.settings.fields import FROZEN, split_names

# What `policy/parameters.py` refuses, and bounds beyond which it does.
_GUARDED_PARAMETERS = frozenset(
    {
        "chat_template",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "prompt_embeds",
        "lora_request",
        "lora_path",
        "logits_processors",
        "kv_transfer_params",
        "ec_transfer_params",
        "prompt_logprobs",
        "uuid",
        "previous_response_id",
        "background",
    }
)


class PolicySettings(BaseModel):
    """What callers may ask of an engine that serves others too."""

    model_config = FROZEN

    allowed_parameters: tuple[str, ...] = Field(
        default=(),
        description="Parameters of vLLM that callers may set although they can harm others: "
        + ", ".join(f"`{name}`" for name in sorted(_GUARDED_PARAMETERS))
        + " (without its bounds).",
    )
    max_n: int = Field(default=128, ge=1, description="Most choices of a call (`n`, `best_of`).")
    max_tokens: int = Field(
        default=2**20, ge=1, description="Most tokens that a call may ask for, whatever the field is called."
    )
    max_stop: int = Field(default=16, ge=0, description="Most entries of `stop`; vLLM itself takes 4.")
    max_logprobs: int = Field(default=20, ge=0, description="Most alternatives of each token.")
    max_prompt_logprobs: int = Field(
        default=1,
        ge=0,
        description="Most alternatives of each token of a prompt (`prompt_logprobs`, `echo`).",
    )
    max_prompt_logprobs_bytes: int = Field(
        default=8192, ge=0, description="Longest prompt, in bytes of JSON, whose tokens' logprobs are given."
    )

    @field_validator("allowed_parameters", mode="before")
    @classmethod
    def _split_parameters(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("allowed_parameters")
    @classmethod
    def _check_parameters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return check_guarded(names)


def check_guarded(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give back `names`, all of which are parameters that need a permission.

    Raises:
        ValueError: one needs none.
    """
    for name in names:
        if name not in _GUARDED_PARAMETERS:
            guarded = ", ".join(sorted(_GUARDED_PARAMETERS))
            message = f"{name!r} needs no permission; those that do are {guarded}"
            raise ValueError(message)
    return names
