from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

import lmaas_gateway.errors as gateway
from lmaas import errors
from lmaas._failures import event_error, retry_after_s, status_error, validation_error

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Head:
    status_code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    label: str = "POST /v1/x"
    secret: str = ""


def of_status(status: int, body: object, **headers: str) -> errors.APIStatusError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status_error(Head(status, named), content, NOW)


def gateway_codes() -> list[tuple[int, str]]:
    """Return status and code of each error that the gateway documents."""
    rows = re.findall(r" (\d\d\d|4xx) +\w+ {2,}(\w[\w, ]*)$", gateway.__doc__ or "", re.MULTILINE)
    return [(int(status.replace("xx", "00")), code) for status, codes in rows for code in codes.split(", ")]


@pytest.mark.parametrize(("status", "code"), gateway_codes())
def test_each_code_of_the_gateway_has_a_class_as_status_and_as_event(status: int, code: str) -> None:
    fault = {"error": {"message": "m", "type": "t", "param": None, "code": code}}
    by_status = of_status(status, fault)
    by_event = event_error(Head(), json.dumps(fault))
    assert (by_status.status_code, by_status.code, by_status.type) == (status, code, "t")
    if code == "stream_interrupted":
        assert type(by_event) is errors.StreamInterruptedError
    else:
        assert type(by_event) is type(by_status)


def test_the_codes_of_the_gateway_are_found() -> None:
    assert {(401, "invalid_api_key"), (404, "model_not_found"), (504, "replica_timeout")} <= {
        *gateway_codes()
    }


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (302, errors.APIStatusError),
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (405, errors.MethodNotAllowedError),
        (408, errors.RequestTimeoutError),
        (409, errors.ConflictError),
        (413, errors.ContentTooLargeError),
        (418, errors.APIStatusError),
        (422, errors.UnprocessableEntityError),
        (429, errors.RateLimitError),
        (500, errors.InternalServerError),
        (502, errors.BadGatewayError),
        (503, errors.ServiceUnavailableError),
        (504, errors.GatewayTimeoutError),
        (599, errors.InternalServerError),
    ],
)
def test_status_chooses_the_class(status: int, cls: type[errors.APIError]) -> None:
    error = of_status(status, {"error": {"message": "m", "type": "t", "param": "p", "code": 3}})
    assert type(error) is cls
    assert (error.message, error.type, error.param, error.code) == ("m", "t", "p", "3")


def test_code_refines_the_status_but_never_contradicts_it() -> None:
    assert type(of_status(404, {"error": {"code": "model_not_found"}})) is errors.ModelNotFoundError
    assert type(of_status(500, {"error": {"code": "model_not_found"}})) is errors.InternalServerError


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"object": "error", "message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, "m"),
        (
            {"detail": [{"input": "the prompt"}]},
            "POST /v1/x was answered with 400 (Bad Request) and no error object.",
        ),
        ([1], "POST /v1/x was answered with 400 (Bad Request) and no error object."),
        (b"<html>", "POST /v1/x was answered with 400 (Bad Request) and no error object."),
        (b"[" * 200_000, "POST /v1/x was answered with 400 (Bad Request) and no error object."),
        (b"\xff", "POST /v1/x was answered with 400 (Bad Request) and no error object."),
    ],
)
def test_message_is_found_in_each_dialect(body: object, message: str) -> None:
    assert of_status(400, body).message == message


def test_unknown_status_without_a_body_still_says_what_happened() -> None:
    assert (
        of_status(799, b"").message
        == "POST /v1/x was answered with 799 (no known status) and no error object."
    )


def test_body_that_is_no_error_object_is_shown_only_in_part() -> None:
    assert of_status(500, b"<html>" + b"x" * 9999).body == "<html>" + "x" * 194


def test_headers_say_who_and_when() -> None:
    error = of_status(429, {}, x_request_id="r", retry_after="3", x_should_retry="False")
    assert (error.request_id, error.retry_after_s, error.should_retry) == ("r", 3.0, False)


def test_key_that_the_server_repeats_is_struck_out_everywhere() -> None:
    head = Head(401, secret="sk-123")
    told = status_error(head, b'{"error": {"message": "Bad key sk-123."}}', NOW)
    odd = status_error(head, b"<p>sk-123</p>", NOW)
    wrong = validation_error(head, b"sk-123", "a list")
    event = event_error(head, '{"error": "sk-123"}')
    assert told.message.startswith("Bad key ***.")
    assert [odd.body, wrong.body, str(event)] == ["<p>***</p>", "***", "***"]


@pytest.mark.parametrize(
    ("data", "cls", "status"),
    [
        ({"error": {"message": "m", "code": 400}}, errors.BadRequestError, 400),
        ({"error": {"message": "m", "code": 507}}, errors.InternalServerError, 500),
        ({"error": {"message": "m", "code": None}}, errors.StreamInterruptedError, None),
        ({"error": "m"}, errors.StreamInterruptedError, None),
        ({"object": "error", "message": "m", "code": 404}, errors.NotFoundError, 404),
        ({"error": {"message": "m", "code": "replica_timeout"}}, errors.GatewayTimeoutError, 504),
    ],
)
def test_error_event_of_each_dialect_has_its_class(
    data: object, cls: type[errors.APIError], status: int | None
) -> None:
    error = event_error(Head(headers={"x-request-id": "r"}), json.dumps(data))
    assert type(error) is cls
    assert (error.message, error.status_code, error.request_id) == ("m", status, "r")


def test_event_of_type_error_is_one_whatever_its_data() -> None:
    error = event_error(Head(), "out of memory", is_error_event=True)
    assert isinstance(error, errors.StreamInterruptedError)
    assert error.message == "out of memory"


def test_error_event_may_say_whether_to_retry() -> None:
    error = event_error(Head(), '{"error": {"retryable": false}}')
    assert error is not None
    assert not error.is_retryable
    assert error.message == "The server reported an error without saying which."


def test_data_without_an_error_is_none() -> None:
    assert event_error(Head(), '{"choices": []}') is None


def test_wrong_reply_says_what_was_expected_and_what_came() -> None:
    error = validation_error(Head(headers={"content-type": "text/html"}), b"<html>", "a Model")
    assert "POST /v1/x is not a Model (text/html)" in error.message
    assert error.body == "<html>"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Sat, 01 Jan 99999 00:00:00 GMT"}, None),
        ({"retry-after": "Thursday, 01-Jan-26 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu Jan  1 00:00:30 2026"}, 30.0),
        ({"retry-after": "1e9"}, 1e9),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 -0000"}, 30.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:30 GMT"}, 0.0),
        ({"retry-after": "Mon, 01 Jan 2035 00:00:09 GMT", "date": "Mon, 01 Jan 2035 00:00:00 GMT"}, 9.0),
    ],
)
def test_retry_after_is_read_in_each_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds
