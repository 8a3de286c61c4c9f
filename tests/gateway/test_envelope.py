"""The envelope: hostile bodies are refused with a sentence, everything else stays as it was."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway import envelope
from lmaas_gateway.errors import InvalidBodyError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"", None, "not valid JSON"),
        (b"   ", None, "not valid JSON"),
        (b"{", None, "not valid JSON"),
        (b"nonsense", None, "not valid JSON"),
        (b'{"model":"m"} extra', None, "not valid JSON"),
        (b'{"model":"m","x":NaN}', None, "not valid JSON"),
        (b'{"model":"m","x":Infinity}', None, "not valid JSON"),
        (b'{"model":"m","x":01}', None, "not valid JSON"),
        (b'{"model":"m","x":"\x01"}', None, "not valid JSON"),
        (b'{"model":"m","x":"\\ud800"}', None, "not valid JSON"),
        (b'{"model":"m","\\ud800":1}', None, "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m"}', None, "not valid JSON"),
        (b'{"model":"\xff"}', None, "not UTF-8"),
        (b'{"model":"m","x":"\xc3"}', None, "not UTF-8"),
        (b"[" * 200_000, None, "must be a JSON object"),
        (b'{"model":"m","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", None, "nested too deep"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, None, "nested too deep"),
        (b"[]", None, "must be a JSON object"),
        (b'"model"', None, "must be a JSON object"),
        (b"null", None, "must be a JSON object"),
        (b"1e999", None, "must be a JSON object"),
        (b"{}", "model", "no `model`"),
        (b'{"Model":"m"}', "model", "no `model`"),
        (b'{"model":null}', "model", "`model`"),
        (b'{"model":7}', "model", "`model`"),
        (b'{"model":["m"]}', "model", "`model`"),
        (b'{"model":"m","stream":"yes"}', "stream", "`stream`"),
        (b'{"model":"m","stream":1}', "stream", "`stream`"),
        (b'{"model":"m","n":"2"}', "n", "`n`"),
        (b'{"model":"m","n":1.5}', "n", "`n`"),
        (b'{"model":"m","n":1e400}', "n", "`n`"),
        (b'{"model":"m","max_tokens":1e400}', "max_tokens", "`max_tokens`"),
        (b'{"model":"m","max_tokens":' + b"9" * 10**6 + b"}", "max_tokens", "`max_tokens`"),
        (b'{"model":"m","temperature":1e400}', "temperature", "`temperature`"),
        (b'{"model":"m","repetition_penalty":-1e400}', "repetition_penalty", "`repetition_penalty`"),
        (b'{"model":"m","seed":1e400}', "seed", "`seed`"),
        (b'{"model":"m","top_k":-1e999}', "top_k", "`top_k`"),
        (b'{"model":"m","x":1e400}', None, "`x` cannot be used: Number out of range."),
        (b'{"x":[0,{"deep":-1E+400}],"model":"m"}', None, "`x` cannot be used: Number out of range - at `$"),
        (b'{"model":"m","x":%b.0}' % (b"9" * 400), None, "`x` cannot be used"),
        (b'{"model":"m","\\u0078":1e400}', None, "`x` cannot be used"),
        (b'{"model":"m","%b":1e400}' % (b"k" * 500), None, "k…` cannot be used"),
        (b'{"model":"m","temperature":"hot"}', "temperature", "`temperature`"),
        (b'{"model":"m","x":"\\ud800 and on"}', None, "not valid JSON"),
        (b'{"model":"m","x":"\\udc00\\ud800"}', None, "not valid JSON"),
        (b'{"model":"m","x":"a\0b"}', None, "not valid JSON"),
        (b'{"model":"m","x":' + b"[" * 128 + b"]" * 128 + b"}", None, "nested too deep"),
        (b'{"model":"m","x":[' + b"{}," * 70_000 + b"1]}", None, "lists and objects"),
        (b'{"model":"m","stream_options":[]}', "stream_options", "`stream_options`"),
        (b'{"model":"m","stream_options":{"include_usage":"x"}}', "stream_options.include_usage", "usage`"),
    ],
)
def test_hostile_body_is_refused_with_a_sentence(body: bytes, param: str | None, says: str) -> None:
    with pytest.raises(InvalidBodyError) as caught:
        envelope.read(body)
    assert caught.value.status == 400
    assert caught.value.param == param
    assert says in caught.value.message
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"model":"m","x":' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"}",
        b'{"model":"m","x":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"model":"m","x":[' + b"[]," * 200_000 + b"1]}",
        b'{"model":"m","max_tokens":' + b"9" * 10**6 + b"}",
        b'{"model":"m",' + b'"model":"m",' * 50_000 + b'"n":NaN}',
    ],
    ids=["lists", "objects", "900 lists", "many lists", "digits", "one key again and again"],
)
def test_hostile_body_costs_little(body: bytes) -> None:
    costs = []
    for _ in range(5):
        begun_s = time.process_time()
        with pytest.raises(InvalidBodyError):
            envelope.read(body)
        costs.append(time.process_time() - begun_s)
    assert min(costs) < 0.01


def test_long_bodies_of_honest_shape_are_read() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "{[hi]}"}]}] * 10_000
    assert envelope.read(json.dumps({"model": "m", "messages": messages}).encode()).model == "m"
    assert envelope.read(json.dumps({"model": "m", "x": "[" * 1_000_000}).encode()).model == "m"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidBodyError):
        assert isinstance(envelope.read(body).model, str)


def test_last_of_two_keys_counts_as_it_does_for_the_replica() -> None:
    body = b'{"model":"a","stream":true,"model":"b","stream":false}'
    wanted = envelope.read(body)
    assert (wanted.model, wanted.stream) == ("b", False)
    assert json.loads(body)["model"] == wanted.model


def test_escaped_key_is_the_same_key() -> None:
    assert envelope.read(b'{"mod\\u0065l":"m"}').model == "m"


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({}, 1),
        ({"n": None}, 1),
        ({"n": 3}, 3),
        ({"n": -2}, 1),
        ({"n": 128}, 128),
        ({"prompt": "one"}, 1),
        ({"prompt": []}, 1),
        ({"prompt": ["one", "two"]}, 2),
        ({"prompt": ["one", "two"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3], [4]]}, 3),
        ({"prompt": None}, 1),
    ],
)
@pytest.mark.parametrize("indent", [None, 3])
def test_choices_are_counted(fields: dict[str, Any], choices: int, indent: int | None) -> None:
    body = json.dumps({"model": "m", **fields}, indent=indent).encode()
    assert envelope.count_choices(envelope.read(body)) == choices


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"input": "one"}, 1),
        ({"input": []}, 1),
        ({"input": ["one", "two", "three"]}, 3),
        ({"input": [1, 2, 3]}, 1),
        ({"input": [[1, 2], [3]]}, 2),
        ({"input": [{"role": "user", "content": "hi"}]}, 1),
        ({"query": "q", "documents": ["one", "two"]}, 2),
        ({"text_1": "q", "text_2": ["one", "two", "three"]}, 3),
        ({"text_1": "q", "text_2": "one"}, 1),
        ({"messages": []}, 1),
    ],
)
def test_texts_to_be_read_are_counted(fields: dict[str, Any], count: int) -> None:
    assert envelope.count_inputs(envelope.read(json.dumps({"model": "m", **fields}).encode())) == count


@pytest.mark.parametrize(
    "value", ["1e308", "-1e-400", '"1e400"', "null", str(10**40), '{"1e400":[1e9,true]}']
)
def test_further_fields_that_python_can_hold_pass(value: str) -> None:
    body = b'{"model":"m","n":2,"further":%b}' % value.encode()
    assert envelope.read(body).n == 2


def test_long_further_fields_are_passed_without_being_looked_through() -> None:
    body = b'{"model":"m","long":"%b","x":1e400}' % (b"x" * 70_000)
    assert envelope.read(body).model == "m"


def test_last_of_several_spellings_of_a_further_field_counts_as_it_does_for_the_engine() -> None:
    assert envelope.read(b'{"model":"m","x":1e400,"x":1}').model == "m"


def test_long_list_of_texts_is_not_counted_out() -> None:
    body = b'{"model":"m","input":[%b""]}' % (b'"",' * 100_000)
    assert envelope.count_inputs(envelope.read(body)) >= 100_000


@pytest.mark.parametrize("n", [129, 10**30])
def test_more_choices_than_openai_allows_are_refused(n: int) -> None:
    with pytest.raises(InvalidBodyError, match="at most 128") as caught:
        envelope.count_choices(envelope.read(json.dumps({"model": "m", "n": n}).encode()))
    assert caught.value.param == "n"


@given(
    fields=st.dictionaries(st.text(), JSON, max_size=5),
    options=st.none() | st.dictionaries(st.text(), JSON, max_size=3),
)
def test_with_usage_sets_one_option_and_nothing_else(
    fields: dict[str, Any], options: dict[str, Any] | None
) -> None:
    before = {**fields, "model": "m", "stream_options": options}
    after = msgspec.json.decode(envelope.with_usage(json.dumps(before).encode()))
    wanted = {**before, "stream_options": {**(options or {}), "include_usage": True}}
    assert after == msgspec.json.decode(json.dumps(wanted))


@given(fields=st.dictionaries(st.text(), JSON, max_size=5), name=st.text(max_size=20))
def test_with_model_sets_the_name_and_nothing_else(fields: dict[str, Any], name: str) -> None:
    before = {**fields, "model": "m"}
    after = msgspec.json.decode(envelope.with_model(json.dumps(before).encode(), name))
    assert after == msgspec.json.decode(json.dumps({**before, "model": name}))


def test_untouched_fields_keep_their_very_bytes() -> None:
    body = b'{"model":"m","temperature":1.0,"big":12345678901234567890123,"e":1E5,"text":"\\u00e9"}'
    changed = envelope.with_usage(body)
    assert changed.startswith(body[:-1])
    assert b'"stream_options":{"include_usage":true}' in changed


def test_omitted_stream_options_are_added_once() -> None:
    assert envelope.with_usage(b'{"model":"m"}') == b'{"model":"m","stream_options":{"include_usage":true}}'
