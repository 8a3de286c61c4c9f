"""Which of vLLM's parameters a caller may use, and how far.

An engine serves everybody at once, so a parameter that makes it run a caller's template, load a caller's
tensors or compute without bound is not a caller's to set. Each is refused by name, unless the operator allows
it; every other field passes, so that what vLLM ships tomorrow works the same day.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.envelope import ABSENT
from lmaas_gateway.errors import InvalidBodyError, ParameterNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.call import Call
    from lmaas_gateway.envelope import Envelope
    from lmaas_gateway.settings import PolicySettings, Settings

# What each could do to others, were it allowed.
BANNED = {
    "chat_template": "a template of the caller's runs in the engine",
    "media_io_kwargs": "it changes how much the engine decodes",
    "mm_processor_kwargs": "it changes how much the engine decodes",
    "prompt_embeds": "tensors of the caller's are loaded by the engine",
    "lora_request": "it names files of the engine's machine",
    "lora_path": "it names files of the engine's machine",
    "logits_processors": "code is named that runs in the engine",
    "kv_transfer_params": "it reaches into the engine's cache",
    "ec_transfer_params": "it reaches into the engine's cache",
}
# Looked at one by one only if any of them is there.
_RARE = (
    *BANNED,
    "chat_template_kwargs",
    "prompt_logprobs",
    "logprobs",
    "top_logprobs",
    "stop",
    "stop_sequences",
    "best_of",
    "min_tokens",
)
_take_rare = attrgetter(*_RARE)
_USUAL = tuple(
    None if name in {"prompt_logprobs", "logprobs", "top_logprobs", "best_of", "min_tokens"} else ABSENT
    for name in _RARE
)
_TEMPLATE = "chat_template"


class _TemplateArguments(msgspec.Struct):
    chat_template: msgspec.Raw = ABSENT


_TEMPLATE_ARGUMENTS = msgspec.json.Decoder(_TemplateArguments | None)
_STOPS = msgspec.json.Decoder(list[msgspec.Raw] | str | None)


class ParameterRules:
    """Refuses calls that ask for more than a caller may.

    Args:
        settings: Bounds, and what is allowed for all models and for each.
    """

    def __init__(self, settings: Settings) -> None:
        self._policy = settings.policy
        # Read on each call, where a settings object costs more than it should.
        self._max_tokens, self._max_n = settings.policy.max_tokens, settings.policy.max_n
        allowed = frozenset(settings.policy.allowed_parameters)
        self._allowed = allowed
        self._allowed_by_model: Mapping[str, frozenset[str]] = {
            name: allowed.union(model.allowed_parameters)
            for model in settings.models
            for name in (model.name, *model.aliases)
            if model.allowed_parameters
        }

    def allowed_for(self, model: str) -> frozenset[str]:
        """Name the guarded parameters that callers of a model may set."""
        return self._allowed_by_model.get(model, self._allowed)

    def check(self, call: Call) -> None:
        """Pass a call that asks for nothing out of bounds, as almost every one.

        Raises:
            GatewayError: what it may not ask for.
        """
        wanted, most = call.wanted, self._max_tokens
        if (
            (wanted.max_tokens or 0) > most
            or (wanted.max_completion_tokens or 0) > most
            or (wanted.max_output_tokens or 0) > most
            or (wanted.n or 0) > self._max_n
            or _take_rare(wanted) != _USUAL
        ):
            self._check_each(call)

    def _check_each(self, call: Call) -> None:
        wanted, policy = call.wanted, self._policy
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens"):
            _check_most(name, getattr(wanted, name), policy.max_tokens)
        for name in ("n", "best_of"):
            _check_most(name, getattr(wanted, name), policy.max_n)
        allowed = self.allowed_for(call.model)
        for name, reason in BANNED.items():
            if _is_given(getattr(wanted, name)) and name not in allowed:
                raise _not_allowed(name, reason)
        if wanted.chat_template_kwargs is not ABSENT and _TEMPLATE not in allowed:
            _check_template(wanted.chat_template_kwargs)
        if "prompt_logprobs" not in allowed:
            _check_prompt_logprobs(call, policy)
        for name in ("logprobs", "top_logprobs"):
            _check_most(name, getattr(wanted, name), policy.max_logprobs)
        for name in ("stop", "stop_sequences"):
            _check_stops(name, getattr(wanted, name), policy.max_stop)


def _check_most(name: str, value: float | None, most: int) -> None:
    if value is not None and value > most:
        raise InvalidBodyError(f"`{name}` must be at most {most}, got {value}.", param=name)


def _check_template(arguments: msgspec.Raw) -> None:
    """Look into the arguments of the model's own template, which may bring another."""
    try:
        given = _TEMPLATE_ARGUMENTS.decode(arguments)
    except msgspec.ValidationError:
        name = "chat_template_kwargs"
        raise InvalidBodyError(f"`{name}` must be an object.", param=name) from None
    if given is not None and _is_given(given.chat_template):
        raise _not_allowed("chat_template_kwargs.chat_template", BANNED[_TEMPLATE])


def _check_prompt_logprobs(call: Call, policy: PolicySettings) -> None:
    """Bound what is computed for each token of a prompt: logits of the whole vocabulary."""
    name, count = _prompt_logprobs_of(call.wanted)
    if count is None:
        return
    most = policy.max_prompt_logprobs
    if not -1 < count <= most:
        raise InvalidBodyError(f"`{name}` of a prompt must be from 0 to {most}, got {count}.", param=name)
    if len(call.prompt) > policy.max_prompt_logprobs_bytes:
        raise InvalidBodyError(
            f"With `{name}` for its tokens a prompt may be {policy.max_prompt_logprobs_bytes} bytes long, "
            f"this one is {len(call.prompt)}; send less, or leave `{name}` out.",
            param=name,
        )


def _prompt_logprobs_of(wanted: Envelope) -> tuple[str, int | None]:
    if wanted.prompt_logprobs is not None:
        return "prompt_logprobs", wanted.prompt_logprobs
    # vLLM then gives those of the prompt too.
    if wanted.echo and wanted.logprobs is not None and not isinstance(wanted.logprobs, bool):
        return "logprobs", wanted.logprobs
    return "", None


def _check_stops(name: str, value: msgspec.Raw, most: int) -> None:
    if value is ABSENT:
        return
    try:
        stops = _STOPS.decode(value)
    except msgspec.ValidationError:
        raise InvalidBodyError(f"`{name}` must be a string or a list of strings.", param=name) from None
    if isinstance(stops, list) and len(stops) > most:
        raise InvalidBodyError(f"`{name}` may have {most} entries, got {len(stops)}.", param=name)


def _is_given(value: msgspec.Raw) -> bool:
    return value is not ABSENT and bytes(value) != b"null"


def _not_allowed(name: str, reason: str) -> ParameterNotAllowedError:
    return ParameterNotAllowedError(f"`{name}` is not allowed here: {reason}. Leave it out.", param=name)
