"""Every error that this package raises, as one tree.

    LMaaSError
      ConfigurationError              the client cannot work as it was set up
      APIError                        a call failed
        APIConnectionError            no reply, or it broke off
          APITimeoutError             a deadline passed: `deadline` says which
          CircuitOpenError            not sent: the server has failed again and again
        NoPlatformError               not sent: none of several platforms can, or may now, serve the call
        APIResponseValidationError    a reply that is not what the API defines
        StreamError                   a stream failed after its first byte; `partial_text` is what it had said
          StreamInterruptedError      it broke: an error event, or the connection
          StreamTruncatedError        it ended too early, as if it were whole
          StreamCancelledError        this program closed it, and then read on
        APIStatusError                a status other than 2xx
          BadRequestError             400
            ContextLengthExceededError 400  prompt and answer do not fit the model; both numbers
          AuthenticationError         401
          PermissionDeniedError       403
          NotFoundError               404
            ModelNotFoundError        404  code "model_not_found"
          MethodNotAllowedError       405
          RequestTimeoutError         408
          ConflictError               409
          ContentTooLargeError        413
          UnprocessableEntityError    422
          RateLimitError              429  `limit` and `retry_after_s`
          InternalServerError         5xx
            BadGatewayError           502
            ServiceUnavailableError   503
            GatewayTimeoutError       504
      AnswerError                     an answer came, but not what was asked for; `completion` holds it
        RefusalError                  the model refused
        LengthFinishReasonError       the answer was cut off at a limit of tokens
        ContentFilterFinishReasonError  the server held the answer back
        OutputValidationError         the answer does not fit the type
        ToolRoundsError               the model still called tools after the last round

All can be pickled, and none holds a key, a header or a prompt, but for `ToolRoundsError.messages`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final, Literal, TypeAlias

_NAME: Final = re.compile(r"[a-z0-9_.-]{1,64}", re.IGNORECASE)

Deadline: TypeAlias = Literal["total", "connect", "pool", "first_token", "inter_token"]
"""The timers of a call, by the names of the fields of `Timeout`; "pool" is the wait for a free connection."""


class LMaaSError(Exception):
    """The base of all of them."""


class ConfigurationError(LMaaSError, ValueError):
    """An option of the client that cannot work; the message says which and what to do."""


class APIError(LMaaSError):
    """A call failed.

    Attributes:
        message: What was wrong and, where known, what to do.
        status_code: The HTTP status; None when there was none, or when it was a 200 that told nothing.
        type: OpenAI's class of error, as the server named it.
        param: The parameter at fault, if the server named one.
        code: The server's name for the exact fault; what programs should compare.
        request_id: The `x-request-id` of the reply: quote it when asking the operator.
        retry_after_s: Seconds that the server asks to wait before a next try.
        should_retry: What the server said of retrying (`x-should-retry`); None if nothing.
        body: The beginning of a reply that could not be understood.
        partial_text: What the first choice of a stream had said when it failed; None outside streams.
        tries: How many times the call was sent.
        partial_completion: The same as a `ParsedChatCompletion`, from `chat.completions.stream` alone.
        lmaas_metadata: Which platforms were asked, a `lmaas.routing.Route`; None with one platform.
    """

    default_is_retryable: ClassVar[bool] = False
    tries: int = 1
    partial_completion: Any = None
    lmaas_metadata: Any = None

    def __init__(  # one plain value a field, so that pickling needs no code  # noqa: PLR0913
        self,
        message: str,
        *,
        status_code: int | None = None,
        type: str | None = None,  # noqa: A002 - the wire's name
        param: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        body: str | None = None,
        partial_text: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.type = type
        self.param = param
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.body = body
        self.partial_text = partial_text

    @property
    def is_retryable(self) -> bool:
        """Whether the same call, sent again, may succeed: the server's word, else the kind of error."""
        return self.default_is_retryable if self.should_retry is None else self.should_retry

    @property
    def kind(self) -> str:
        """What it was in a few words, for reports that are kept: its class, status and code.

        Nothing of the server's own words, which may hold the prompt; nor a code that is no name.
        """
        code = self.code if self.code is not None and _NAME.fullmatch(self.code) else None
        return " ".join(str(part) for part in (type(self).__name__, self.status_code, code) if part)

    def __str__(self) -> str:
        return f"{self.message} (request id {self.request_id})" if self.request_id else self.message

    def __repr__(self) -> str:
        shown = ("status_code", "code", "request_id", "retry_after_s")
        facts = [f"{name}={value!r}" for name in shown if (value := getattr(self, name)) is not None]
        return f"{type(self).__name__}({', '.join([repr(self.message), *facts])})"


class APIConnectionError(APIError):
    """The server could not be reached, or hung up before its reply was complete."""

    default_is_retryable = True


class APITimeoutError(APIConnectionError):
    """A deadline passed.

    Attributes:
        deadline: Which one, by its name in `Timeout`.
    """

    deadline: Deadline = "total"


class CircuitOpenError(APIConnectionError):
    """The call was not sent: calls to this base URL have failed again and again, and it is given a rest.

    `retry_after_s` says when a call will be let through to see whether the server is back.
    """


class NoPlatformError(APIError):
    """The call was not sent: none of the client's platforms can serve it, or may be asked in time.

    The message says of each why. `retry_after_s` says when the first may be asked again; None if none can.
    """


class APIResponseValidationError(APIError):
    """The server's reply is not what the API defines: HTML, broken JSON, or an object without its fields."""


class StreamError(APIError):
    """A stream failed after its first byte. The client never repeats such a call on its own."""


class StreamInterruptedError(StreamError):
    """A stream broke: the server sent an error in place of the rest, or the connection was lost."""

    default_is_retryable = True


class StreamTruncatedError(StreamError):
    """A stream ended without `[DONE]`, or without the finish reason of a choice: the answer is not whole."""

    default_is_retryable = True


class StreamCancelledError(StreamError):
    """This program closed the stream before its end and then asked it for more: the answer is not whole."""


class APIStatusError(APIError):
    """The server answered with a status other than 2xx."""

    status: ClassVar[int] = 0
    remedy: ClassVar[str] = ""
    """What to do, for a server that does not say it."""


class BadRequestError(APIStatusError):
    """The request cannot be served as it is."""

    status = 400


class ContextLengthExceededError(BadRequestError):
    """Prompt and answer do not fit the model's context: shorten the prompt, or ask for a shorter answer.

    Attributes:
        max_model_len: How many tokens fit, prompt and answer together; None if the server did not say.
        requested_tokens: How many there would have been, at least; None if the server did not say.
    """

    remedy = "Shorten the prompt, or lower max_tokens."
    max_model_len: int | None = None
    requested_tokens: int | None = None


class AuthenticationError(APIStatusError):
    """No key, or not the right one."""

    status = 401
    remedy = "Give the key as api_key=... or in LMAAS_API_KEY."


class PermissionDeniedError(APIStatusError):
    """The key is good, but not for this."""

    status = 403


class NotFoundError(APIStatusError):
    """No such route or object."""

    status = 404
    remedy = "Is base_url right, and does it end in /v1?"


class ModelNotFoundError(NotFoundError):
    """The server serves no model of that name."""

    remedy = "client.models.list() tells which models there are."


class MethodNotAllowedError(APIStatusError):
    """The route exists, but not with this HTTP method."""

    status = 405


class RequestTimeoutError(APIStatusError):
    """The server waited too long for the request."""

    status = 408
    default_is_retryable = True


class ConflictError(APIStatusError):
    """The call collides with another one, such as its own twin that is still running."""

    status = 409
    default_is_retryable = True


class ContentTooLargeError(APIStatusError):
    """The request body is longer than the server takes."""

    status = 413


class UnprocessableEntityError(APIStatusError):
    """The request is well formed, but its values do not fit together."""

    status = 422


class RateLimitError(APIStatusError):
    """Too many requests or tokens.

    Attributes:
        limit: The name of the limit that was met, such as "requests" or "tokens"; None if not said.
        retry_after_s: Seconds until there is room again; None if not said.
    """

    status = 429
    remedy = "Wait, or send fewer calls at once."
    limit: str | None = None
    default_is_retryable = True


class InternalServerError(APIStatusError):
    """The server failed."""

    status = 500
    default_is_retryable = True


class BadGatewayError(InternalServerError):
    """A replica behind the server answered with something that is no reply."""

    status = 502


class ServiceUnavailableError(InternalServerError):
    """The server, or the model's replicas, cannot take calls now."""

    status = 503


class GatewayTimeoutError(InternalServerError):
    """A replica behind the server did not answer in time."""

    status = 504


class AnswerError(LMaaSError):
    """An answer came whole, but it is not what was asked for.

    Attributes:
        message: What was wrong and what to do.
        completion: The answer, a `ParsedChatCompletion` with its usage.
    """

    def __init__(self, message: str, *, completion: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.completion = completion

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` of the reply; None for an answer put together from a stream."""
        return getattr(self.completion, "request_id", None)


class RefusalError(AnswerError):
    """The model refused; the message holds its words."""


class LengthFinishReasonError(AnswerError):
    """The answer was cut off at a limit of tokens before it could be whole."""


class ContentFilterFinishReasonError(AnswerError):
    """The server held the answer, or a part of it, back."""


class OutputValidationError(AnswerError):
    """The answer, and each asked for again, does not fit the type.

    Attributes:
        problems: What does not fit, one line each: where, and why.
    """

    problems: tuple[str, ...] = ()


class ToolRoundsError(AnswerError):
    """The model still called tools in the last round that it was allowed.

    Attributes:
        messages: The whole conversation so far; the last message is the unanswered call.
    """

    messages: tuple[Any, ...] = ()
