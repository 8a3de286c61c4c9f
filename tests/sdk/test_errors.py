from __future__ import annotations

import pickle
import re

import pytest

from lmaas import errors
from lmaas.errors import APIError, APITimeoutError, LMaaSError, NotFoundError, RateLimitError


def tree(root: type[LMaaSError]) -> list[type[LMaaSError]]:
    # Other modules draw their own branches.
    children = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(cls for child in children for cls in tree(child))]


def test_the_tree_drawn_in_the_module_is_the_tree() -> None:
    drawn = re.findall(r"^ {4}( *)(\w+Error|APIError)\b", errors.__doc__ or "", re.MULTILINE)

    def depth(cls: type) -> int:
        return 0 if cls is LMaaSError else 1 + depth(cls.__bases__[0])

    assert [(len(indent) // 2, name) for indent, name in drawn] == [
        (depth(cls), cls.__name__) for cls in tree(LMaaSError)
    ]


@pytest.mark.parametrize("cls", tree(APIError))
def test_each_error_survives_pickling_with_all_it_knows(cls: type[APIError]) -> None:
    error = cls(
        "no", status_code=404, code="c", param="p", request_id="r", retry_after_s=2.5, partial_text="t"
    )
    error.add_note("n")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert str(again) == str(error) == "no (request id r)"


def test_timeout_keeps_its_deadline_when_pickled() -> None:
    error = APITimeoutError("late")
    error.deadline = "inter_token"
    assert pickle.loads(pickle.dumps(error)).deadline == "inter_token"


def test_repr_tells_the_facts() -> None:
    error = NotFoundError("no model", status_code=404, code="model_not_found")
    assert repr(error) == "NotFoundError('no model', status_code=404, code='model_not_found')"


def test_word_of_the_server_on_retrying_beats_the_kind_of_error() -> None:
    assert RateLimitError("x").is_retryable
    assert not RateLimitError("x", should_retry=False).is_retryable
    assert NotFoundError("x", should_retry=True).is_retryable
    assert not NotFoundError("x").is_retryable


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", "RateLimitError 429 rate_limit_exceeded"),
        (None, "RateLimitError 429"),
        ("slow down, you said “hello”", "RateLimitError 429"),
        ("x" * 65, "RateLimitError 429"),
    ],
)
def test_kind_of_an_error_has_nothing_of_a_servers_own_words(code: str | None, kind: str) -> None:
    assert RateLimitError("You said “hello”.", status_code=429, code=code).kind == kind
