"""Which of vLLM's parameters a caller may use, and how far.

An engine serves everybody at once, so a parameter that makes it run a caller's template, load a caller's
tensors or compute without bound is not a caller's to set. Each is refused by name, unless the operator allows
it; every other field passes, so that what vLLM ships tomorrow works the same day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway import envelope
from lmaas_gateway.envelope import ABSENT, Envelope
from lmaas_gateway.errors import InvalidBodyError, ParameterNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmaas_gateway.call import Call
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
    "previous_response_id": "it names a reply that an engine keeps for whoever asks",
}
# Looked at one by one only if any of them is there: they are the last fields of the envelope.
_FIRST_RARE = Envelope.__struct_fields__.index("best_of")
# The first field, which has no default, is the model.
_USUAL = Envelope.__struct_defaults__[_FIRST_RARE - 1 :]
_TEMPLATE = "chat_template"
_CHAT = "/v1/chat/completions"


class _TemplateArguments(msgspec.Struct):
    chat_template: msgspec.Raw = ABSENT


_TEMPLATE_ARGUMENTS = msgspec.json.Decoder(_TemplateArguments | None)
_ARGUMENTS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
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
            or msgspec.structs.astuple(wanted)[_FIRST_RARE:] != _USUAL
        ):
            self._check_each(call)

    def _check_each(self, call: Call) -> None:
        wanted, policy = call.wanted, self._policy
        for name in Envelope.__struct_fields__[_FIRST_RARE:]:
            value = getattr(wanted, name)
            if isinstance(value, msgspec.Raw):
                envelope.check_value(name, value)
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens"):
            _check_most(name, getattr(wanted, name), policy.max_tokens)
        for name in ("n", "best_of"):
            _check_most(name, getattr(wanted, name), policy.max_n)
        allowed = self.allowed_for(call.model)
        _check_guarded(call, allowed)
        if "prompt_logprobs" not in allowed:
            _check_prompt_logprobs(call, policy)
        for name in ("logprobs", "top_logprobs"):
            _check_logprobs(name, getattr(wanted, name), policy.max_logprobs)
        for name in ("stop", "stop_sequences"):
            _check_stops(name, getattr(wanted, name), policy.max_stop)


def _check_guarded(call: Call, allowed: frozenset[str]) -> None:
    wanted = call.wanted
    for name, reason in BANNED.items():
        if _is_given(getattr(wanted, name)) and name not in allowed:
            raise _not_allowed(name, reason)
    if wanted.background and "background" not in allowed:
        raise _not_allowed("background", "the engine would work on after the call, and keep its reply")
    if wanted.vllm_xargs is not ABSENT:
        _check_arguments(wanted.vllm_xargs, allowed)
    if wanted.chat_template_kwargs is not ABSENT and _TEMPLATE not in allowed:
        _check_template(wanted.chat_template_kwargs)


def _check_most(name: str, value: float | None, most: int) -> None:
    if value is not None and value > most:
        raise InvalidBodyError(f"`{name}` must be at most {most}, got {value}.", param=name)


def _check_logprobs(name: str, value: int | None, most: int) -> None:
    _check_most(name, value, most)
    # To vLLM -1 is the whole vocabulary.
    if value is not None and value < 0:
        raise InvalidBodyError(f"`{name}` must be from 0 to {most}, got {value}.", param=name)


def _check_arguments(arguments: msgspec.Raw, allowed: frozenset[str]) -> None:
    """Look into vLLM's further arguments, which end where its guarded ones do."""
    try:
        given = _ARGUMENTS.decode(arguments) or {}
    except msgspec.ValidationError:
        name = "vllm_xargs"
        raise InvalidBodyError(f"`{name}` must be an object.", param=name) from None
    for name in given:
        if name in BANNED and name not in allowed:
            raise _not_allowed(f"vllm_xargs.{name}", BANNED[name])


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
    name, most = "", policy.max_prompt_logprobs
    for name, count in _prompt_logprobs_of(call):
        if not -1 < count <= most:
            raise InvalidBodyError(f"`{name}` of a prompt must be from 0 to {most}, got {count}.", param=name)
    # Whichever of them the route reads: a short one must not stand before a long one.
    size = sum(map(len, (call.wanted.messages, call.wanted.prompt, call.wanted.input)))
    if name and size > policy.max_prompt_logprobs_bytes:
        raise InvalidBodyError(
            f"With `{name}` for its tokens a prompt may be {policy.max_prompt_logprobs_bytes} bytes long, "
            f"this one is {size}; send less, or leave `{name}` out.",
            param=name,
        )


def _prompt_logprobs_of(call: Call) -> Iterator[tuple[str, int]]:
    """Name what asks for logprobs of a prompt, and how many."""
    wanted = call.wanted
    if wanted.prompt_logprobs is not None:
        yield "prompt_logprobs", wanted.prompt_logprobs
    if not wanted.echo:
        return
    # With `echo` vLLM gives as many of the prompt: of a chat even if none are asked for.
    if call.route.path == _CHAT:
        yield "echo", 0
    if wanted.logprobs is not None:
        yield "logprobs", int(wanted.logprobs)
    if wanted.top_logprobs is not None:
        yield "top_logprobs", wanted.top_logprobs


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
