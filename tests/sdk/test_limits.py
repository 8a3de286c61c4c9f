from __future__ import annotations

import json

import pytest

from lmaas import ContextLengthExceededError, RateLimitError, errors
from lmaas._failures import event_error
from lmaas._limits import context_numbers, is_context_overflow
from sdk.test_failures import Head, of_status

MESSAGES = [
    (
        "This model's maximum context length is 8192 tokens. However, your prompt contains 9000 input "
        "tokens, which exceeds this limit even without any output tokens. Please reduce the "
        "length of the input prompt.",
        (8192, 9000),
    ),
    (
        "This model's maximum context length is 8192 tokens. However, your prompt contains at least "
        "8193 input tokens, which exceeds this limit even without any output tokens.",
        (8192, 8193),
    ),
    (
        "This model's maximum context length is 512 tokens. However, you requested 600 output tokens and "
        "your prompt contains 20 input tokens, for a total of 620 tokens.",
        (512, 620),
    ),
    (
        "This model's maximum context length is 512 tokens. However, you requested 700 tokens (200 in "
        "the messages, 500 in the completion).",
        (512, 700),
    ),
    (
        "This model's maximum context length is 512 tokens. However, your messages resulted in 513 tokens.",
        (512, 513),
    ),
    (
        "This model's maximum context length is 512 tokens. However, your prompt contains 99999 characters.",
        (512, None),
    ),
    ("Input length (600) exceeds model's maximum context length (512).", (512, 600)),
    (
        "The decoder prompt (length 600) is longer than the maximum model length of 512. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens.",
        (512, 600),
    ),
    ("max_tokens=600 cannot be greater than max_model_len=512. Please request fewer.", (512, 600)),
    ("The engine prompt length 600 exceeds the max_model_len 512. Please reduce prompt.", (512, 600)),
]


@pytest.mark.parametrize(("message", "numbers"), MESSAGES)
def test_prompt_that_does_not_fit_is_an_error_with_both_numbers(
    message: str, numbers: tuple[int | None, int | None]
) -> None:
    assert context_numbers(message) == numbers
    error = of_status(400, {"error": {"message": message, "type": "BadRequestError", "code": 400}})
    assert isinstance(error, ContextLengthExceededError)
    assert (error.max_model_len, error.requested_tokens) == numbers
    assert not error.is_retryable


def test_prompt_that_does_not_fit_is_known_by_its_code_and_in_a_stream() -> None:
    fault = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    assert isinstance(of_status(400, fault), ContextLengthExceededError)
    error = event_error(Head(), json.dumps({"error": {"message": MESSAGES[0][0], "code": 400}}))
    assert isinstance(error, ContextLengthExceededError)
    assert (error.max_model_len, error.requested_tokens) == (8192, 9000)


def test_other_bad_requests_are_not_taken_for_it() -> None:
    assert not is_context_overflow("temperature must be at least 0")
    assert type(of_status(400, {"error": {"message": "no"}})) is errors.BadRequestError


@pytest.mark.parametrize(
    ("fault", "headers", "limit"),
    [
        ({"limit": "tokens_per_minute"}, {}, "tokens_per_minute"),
        ({"type": "tokens"}, {}, "tokens"),
        ({"type": "t"}, {"x_ratelimit_remaining_requests": "0"}, "requests"),
        ({}, {"x_ratelimit_remaining_requests": "3", "x_ratelimit_remaining_tokens": "0"}, "tokens"),
        ({"limit": 5, "type": None}, {}, None),
    ],
)
def test_rate_limit_has_its_name(
    fault: dict[str, object], headers: dict[str, str], limit: str | None
) -> None:
    error = of_status(429, {"error": {"message": "m", **fault}}, retry_after="2", **headers)
    assert isinstance(error, RateLimitError)
    assert (error.limit, error.retry_after_s) == (limit, 2.0)


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "LMAAS_API_KEY"), (404, "base_url"), (429, "fewer calls at once")]
)
def test_server_that_says_too_little_is_helped_out(status: int, remedy: str) -> None:
    assert remedy in of_status(status, {"error": "Unauthorized"}).message
    assert remedy in of_status(status, b"").message
    assert of_status(status, {"error": {"message": "Told.", "type": "t"}}).message == "Told."
