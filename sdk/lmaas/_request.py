"""A call as it goes out: decided without I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from pydantic import BaseModel

from lmaas._options import NOT_GIVEN, ClientOptions, Timeout
from lmaas._timer import Clock, Timer
from lmaas._version import __version__
from lmaas.sse import EVENT_STREAM
from lmaas.types.params import CallOptions

KEY_HEADERS = ("authorization", "api-key", "x-api-key")
"""Headers in which the platforms that lmaas knows take their key."""
_SECRET_WORDS = frozenset(
    {"auth", "authorization", "cookie", "credential", "credentials", "key", "apikey"}
    | {"password", "secret", "sig", "signature", "token"}
)
_NO_SECRETS = frozenset({"idempotency-key"})

_OPTION_NAMES = frozenset(CallOptions.__annotations__)
_WITH_BODY = frozenset({"POST", "PATCH", "PUT"})


def may_hold_secret(name: str) -> bool:
    """Tell whether a header or a query parameter of this name may hold what lets somebody in.

    By its words, such as `key` in `x-goog-api-key`: better one too many than a key that goes elsewhere.
    """
    words = re.split(r"[-_.]", name.lower())
    return name.lower() not in _NO_SECRETS and not _SECRET_WORDS.isdisjoint(words)


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Headers and body stay out of `repr`: they hold the key and the prompt."""

    method: str
    url: str
    timer: Timer = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    max_retries: int = 0

    @property
    def secret(self) -> str:
        """The key that the call carries, so that it can be struck out of anything shown; "" for none."""
        for name in KEY_HEADERS:
            if value := self.headers.get(name):
                return value.partition(" ")[2] or value  # "Bearer" and "Basic" are no secret
        return ""

    def with_header(self, name: str, value: str) -> Self:
        """Return the same call with one more header."""
        return replace(self, headers={**self.headers, name.lower(): value})

    @property
    def path(self) -> str:
        """The path of the URL, which may be shown; a query may hold a key."""
        return urlsplit(self.url).path

    @property
    def label(self) -> str:
        """The call in words that may be shown: its method and path."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of the API and the parameters that it takes beside its required ones."""

    method: str
    path: str
    param_names: frozenset[str] = _OPTION_NAMES
    is_upload: bool = False

    @classmethod
    def post(cls, path: str, params: type, *, is_upload: bool = False) -> Operation:
        """Describe a POST whose optional parameters are the keys of the typed dictionary `params`.

        Args:
            path: Where it goes.
            params: The typed dictionary.
            is_upload: Whether its body is a form with a `file`, not JSON.
        """
        return cls("POST", path, frozenset(params.__annotations__) | _OPTION_NAMES, is_upload)

    @classmethod
    def of(cls, method: str, path: str, params: type) -> Operation:
        """Describe a call of any method whose optional parameters are the keys of the dictionary `params`."""
        return cls(method, path, frozenset(params.__annotations__) | _OPTION_NAMES)

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse parameters that the route does not have, as a function with named parameters would.

        Raises:
            TypeError: one is unknown; sent along, a misspelt parameter would be ignored in silence.
        """
        if params.keys() <= self.param_names:
            return
        name = min(params.keys() - self.param_names)
        close = get_close_matches(name, self.param_names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "parameters of the server's own go in extra_body."
        message = f"unknown parameter {name!r}; {hint}"
        raise TypeError(message)


class RequestBuilder:
    """Makes requests of one client's options; what never changes is worked out once."""

    def __init__(self, options: ClientOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._headers = _lower({**_own_headers(options), **options.default_headers})

    def build(
        self,
        operation: Operation,
        params: Mapping[str, Any],
        body: Mapping[str, Any],
        *,
        is_stream: bool = False,
    ) -> Request:
        """Make the request of `operation`: `body` first, then what the caller gave in `params`."""
        operation.check(params)
        extra_headers: Mapping[str, str] = params.get("extra_headers") or {}
        content, content_type = _content(operation, {**body, **params})
        timeout = params.get("timeout", NOT_GIVEN)
        chosen = self._options.timeout if timeout is NOT_GIVEN else Timeout.of(timeout)
        return Request(
            method=operation.method,
            url=self._url(operation.path, params.get("extra_query")),
            timer=Timer(chosen if is_stream else chosen.for_whole_reply(), self._clock, is_stream=is_stream),
            headers=self._call_headers(content_type, extra_headers, is_stream=is_stream),
            content=content,
            max_retries=self._options.max_retries,
        )

    def _url(self, path: str, extra_query: Mapping[str, Any] | None) -> str:
        given = {**self._options.default_query, **(extra_query or {})}
        # As JSON spells them, not Python.
        query = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()
        }
        url = self._options.base_url + path
        return f"{url}?{urlencode(query, doseq=True)}" if query else url

    def _call_headers(
        self, content_type: str | None, extra_headers: Mapping[str, str], *, is_stream: bool
    ) -> Mapping[str, str]:
        headers = dict(self._headers)
        if content_type is not None:
            headers["content-type"] = content_type
            headers["idempotency-key"] = str(uuid4())
        if is_stream:
            headers["accept"] = EVENT_STREAM
            headers["accept-encoding"] = "identity"  # compressors hold events back
        headers.update(_lower(extra_headers))
        return headers


def _content(operation: Operation, params: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    """Return the body of a call and its content type; None for both where there is none."""
    if operation.method not in _WITH_BODY:
        return None, None
    if not operation.is_upload:
        return encode_body(params), "application/json"
    from lmaas._multipart import encode_multipart  # noqa: PLC0415 - few programs upload

    return encode_multipart(_fields(params))


def _fields(params: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        name: value for name, value in params.items() if value is not NOT_GIVEN and name not in _OPTION_NAMES
    }
    fields.update(params.get("extra_body") or {})
    return fields


def encode_body(params: Mapping[str, Any]) -> bytes:
    """Return `params` as JSON, without those not given, with `extra_body` merged in last.

    Raises:
        TypeError: a value has no place in JSON.
        ValueError: a number is NaN or infinite, or text holds half of a surrogate pair.
    """
    return json.dumps(
        _fields(params), default=_json_value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()


def path_segment(value: str) -> str:
    """Return `value` fit to be a part of a path. Slashes stay: model names of a hub have them.

    Raises:
        ValueError: it is empty, or holds a segment such as ".." that would name another route.
    """
    if not value or re.search(r"(^|/)\.{0,2}(/|$)", value):
        message = f"{value!r} cannot be part of a URL."
        raise ValueError(message)
    return quote(value, safe="/:")


def _own_headers(options: ClientOptions) -> dict[str, str]:
    own = {
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "user-agent": f"lmaas-python/{__version__}",
    }
    if options.api_key:
        own["authorization"] = f"Bearer {options.api_key}"
    return own


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _json_value(value: object) -> object:
    """Say what `json` should write in place of a value that it does not know."""
    if isinstance(value, BaseModel):  # such as a message of an earlier reply
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return list(value)
    message = f"a value of type {type(value).__name__} cannot be sent as JSON"
    raise TypeError(message)
