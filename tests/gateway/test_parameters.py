"""Parameters that could harm others are refused by name; all others pass."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmaas_gateway.call import ROUTES
from lmaas_gateway.errors import GatewayError, SettingsError
from lmaas_gateway.policy.parameters import BANNED, ParameterRules
from lmaas_gateway.settings import Settings, load_settings
from lmaas_gateway.testing import FakeReplica
from support.calls import make_call
from support.serving import ASK, CHAT, run_gateway, settings_for


def check(
    fields: dict[str, Any], *, model: dict[str, Any] | None = None, path: str = CHAT, **policy: Any
) -> GatewayError | None:
    """What a call with these fields is told, if it is refused."""
    entry = {"name": "mock", "replicas": [{"url": "http://127.0.0.1:1"}], **(model or {})}
    settings = Settings.model_validate({"models": [entry], "policy": policy})
    try:
        route = next(route for route in ROUTES if route.path == path)
        ParameterRules(settings).check(make_call(msgspec.json.encode({**ASK, **fields}), route=route))
    except GatewayError as error:
        return error
    return None


@pytest.mark.parametrize("name", BANNED)
@pytest.mark.parametrize("value", ["{{ x }}", {"a": {"b": 1}}, [], "", 0, False])
def test_dangerous_parameter_is_refused_by_name(name: str, value: object) -> None:
    error = check({name: value})
    assert error is not None
    assert (error.status, error.code, error.param) == (400, "parameter_not_allowed", name)


@pytest.mark.parametrize("name", BANNED)
def test_operator_may_allow_it_for_all_or_for_one_model(name: str) -> None:
    assert check({name: "x"}, allowed_parameters=(name,)) is None
    assert check({name: "x"}, model={"allowed_parameters": (name,)}) is None
    assert check({name: "x", "model": "other"}, model={"allowed_parameters": (name,)}) is not None
    assert check({name: "x", "model": "a"}, model={"allowed_parameters": (name,), "aliases": ("a",)}) is None


@pytest.mark.parametrize("name", BANNED)
def test_null_is_as_if_it_were_not_there(name: str) -> None:
    assert check({name: None}) is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chat_template_kwargs": {"chat_template": "{{ x }}"}}, "chat_template_kwargs.chat_template"),
        ({"chat_template_kwargs": {"a": 1, "chat_template": ""}}, "chat_template_kwargs.chat_template"),
        ({"chat_template_kwargs": ["chat_template"]}, "chat_template_kwargs"),
        ({"n": 129}, "n"),
        ({"best_of": 129}, "best_of"),
        ({"max_tokens": 2**20 + 1}, "max_tokens"),
        ({"max_completion_tokens": 2**40}, "max_completion_tokens"),
        ({"max_output_tokens": 2**63}, "max_output_tokens"),
        ({"min_tokens": 2**40}, "min_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"prompt_logprobs": 2}, "prompt_logprobs"),
        ({"prompt_logprobs": -1}, "prompt_logprobs"),
        ({"prompt_logprobs": 1, "messages": "x" * 9000}, "prompt_logprobs"),
        ({"echo": True, "logprobs": 5}, "logprobs"),
        ({"echo": True, "logprobs": 0, "messages": "x" * 9000}, "logprobs"),
        ({"echo": True, "logprobs": True, "top_logprobs": 20}, "top_logprobs"),
        ({"echo": True, "top_logprobs": 2, "prompt_logprobs": 1}, "top_logprobs"),
        ({"echo": True, "logprobs": True, "top_logprobs": 1, "messages": "x" * 9000}, "top_logprobs"),
        ({"echo": True, "messages": "x" * 9000}, "echo"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"vllm_xargs": ["kv_transfer_params"]}, "vllm_xargs"),
        ({"background": True}, "background"),
    ],
)  # fmt: skip
def test_value_out_of_bounds_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    error = check(fields)
    assert error is not None
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": None},
        {"chat_template_kwargs": {"chat_template": None}},
        {"n": 128, "best_of": 128, "max_tokens": 2**20, "min_tokens": 0},
        {"logprobs": 20},
        {"logprobs": True, "top_logprobs": 20},
        {"stop": "x"},
        {"stop": None},
        {"stop": ["x"] * 16},
        {"prompt_logprobs": 0},
        {"prompt_logprobs": 1},
        {"echo": True, "logprobs": 1},
        {"echo": True, "logprobs": True},
        {"echo": True},
        {"echo": True, "logprobs": True, "top_logprobs": 1},
        {"echo": False, "logprobs": True, "top_logprobs": 20, "messages": "x" * 9000},
        {"vllm_xargs": None, "background": False, "previous_response_id": None},
        {"vllm_xargs": {"a": 1}, "tomorrows_parameter": {"chat_template": "x"}, "cache_salt": "x"},
    ],
)
def test_everything_else_passes(fields: dict[str, Any]) -> None:
    assert check(fields) is None


def test_echo_of_a_completion_without_logprobs_is_no_question_of_length() -> None:
    assert check({"echo": True, "prompt": "x" * 9000}, path="/v1/completions") is None
    assert check({"echo": True, "logprobs": True, "prompt": "x" * 9000}, path="/v1/completions") is not None


@pytest.mark.parametrize("name", BANNED)
def test_dangerous_parameter_among_further_arguments_is_refused(name: str) -> None:
    error = check({"vllm_xargs": {"a": 1, name: "x"}})
    assert error is not None
    assert (error.status, error.param) == (400, f"vllm_xargs.{name}")
    assert check({"vllm_xargs": {name: "x"}}, allowed_parameters=(name,)) is None


@pytest.mark.parametrize("name", ["vllm_xargs", "chat_template_kwargs"])
def test_number_that_python_takes_as_infinity_is_refused_among_further_arguments(name: str) -> None:
    error = check({name: {"a": [msgspec.Raw(b"1e400")]}})
    assert error is not None
    assert (error.status, error.code) == (400, "invalid_body")
    assert f"`{name}` cannot be used: Number out of range - at `$" in error.message


def test_work_in_the_background_may_be_allowed() -> None:
    assert check({"background": True}, allowed_parameters=("background",)) is None


def test_bounds_are_the_operators() -> None:
    assert check({"n": 3}, max_n=2) is not None
    assert check({"logprobs": 30}, max_logprobs=40) is None
    assert check({"stop": ["x"] * 5}, max_stop=4) is not None
    assert check({"prompt_logprobs": 5}, max_prompt_logprobs=5) is None
    assert check({"prompt_logprobs": -1}, allowed_parameters=("prompt_logprobs",)) is None


def test_permission_for_what_needs_none_is_an_error_at_the_start() -> None:
    with pytest.raises(SettingsError, match=r"'temperature' needs no permission"):
        load_settings(flags={"policy": {"allowed_parameters": ("temperature",)}})
    environ = {"LMAAS_POLICY__ALLOWED_PARAMETERS": "chat_template, prompt_logprobs"}
    assert load_settings(environ=environ).policy.allowed_parameters == ("chat_template", "prompt_logprobs")


async def test_refusal_reaches_the_caller_and_no_replica() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        reply = await running.post(CHAT, {**ASK, "chat_template": "{% for i in range(10**9) %}{% endfor %}"})
        assert (reply.status, reply.error["param"]) == (400, "chat_template")
        assert replica.requests == 0
        assert (await running.logged())["code"] == "parameter_not_allowed"
