"""Counting prompts: with the model's own files, by asking a replica, and never on the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from jinja2.exceptions import SecurityError, TemplateError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from lmaas_gateway.call import ROUTES
from lmaas_gateway.limits.bounds import bound_completion, bound_field, bound_prompt
from lmaas_gateway.limits.build import find_files
from lmaas_gateway.limits.counting import prompts
from lmaas_gateway.limits.counting.model_files import ModelFiles
from lmaas_gateway.limits.counting.service import PromptTokens
from lmaas_gateway.limits.counting.templates import compile_template, render, takes_texts
from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.settings import ReplicaSettings, Settings, TimeoutSettings
from lmaas_gateway.testing import FakeReplica, Script
from support.calls import make_call
from support.serving import run_gateway, settings_for
from support.stub import read_request, stub_server

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.call import Call
    from lmaas_gateway.settings import ModelKind

TEMPLATE = (
    "{% for message in messages %}{{ '[' + message.role + '] ' + message.content + ' ' }}"
    "{% if message.tool_calls %}{{ message.tool_calls[0].function.arguments.place }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def write_model(folder: Path, template: str | None = TEMPLATE, **config: Any) -> Path:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "<s>": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": {"content": "<s>"}, **config}
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def call_of(path: str, **fields: Any) -> Call:
    route = next(route for route in ROUTES if route.path == path)
    return make_call(msgspec.json.encode({"model": "mock", **fields}), route=route)


def chat(*messages: dict[str, Any], **fields: Any) -> Call:
    return call_of("/v1/chat/completions", messages=list(messages), **fields)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles.load(write_model(tmp_path))


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        (chat(user("one two three")), 3 + 3 + 3),
        (chat(user([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])), 3 + 2 + 3),
        (chat(user("one"), add_generation_prompt=False), 3 + 1),
        (chat({"role": "system", "content": None}, user("one")), 3 + 3 + 1 + 3),
        (
            chat(
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"type": "function", "function": {"name": "f", "arguments": '{"place":"Rome"}'}}
                    ],
                }
            ),
            3 + 1 + 3,
        ),
        (call_of("/v1/completions", prompt="one two three four five"), 6),
        (call_of("/v1/completions", prompt="one two", add_special_tokens=False), 2),
        (call_of("/v1/completions", prompt=["one", "two three"]), 2 + 3),
        (call_of("/v1/completions", prompt=[1, 2, 3]), 3),
        (call_of("/v1/completions", prompt=[[1, 2], [3]]), 3),
        (call_of("/v1/embeddings", input="one"), 2),
        (call_of("/v1/responses", input="one two three"), 3 + 3 + 3),
        (call_of("/v1/responses", instructions="be brief", input=[user("one")]), 3 + 2 + 3 + 1 + 3),
        (
            call_of(
                "/v1/responses",
                input=[
                    user([{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]),
                    {"type": "function_call", "name": "f", "arguments": '{"place":"Rome"}', "call_id": "c"},
                    {"role": "assistant", "content": [{"type": "output_text", "text": "three"}]},
                    {"type": "function_call_output", "output": "sunny", "call_id": "c"},
                ],
            ),
            (3 + 2) + (3 + 1 + 1) + (3 + 1) + 3,
        ),
        (
            call_of(
                "/v1/responses",
                input=[
                    {"role": "assistant", "content": "one"},
                    {"type": "function_call", "name": "f", "arguments": '{"place":"Rome"}', "call_id": "c"},
                ],
            ),
            (3 + 1 + 1) + 3,
        ),
        (call_of("/v1/messages", messages=[user("one two three")], max_tokens=1), 3 + 3 + 3),
        (
            call_of(
                "/v1/messages",
                system=[{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}],
                messages=[
                    user([{"type": "text", "text": "one"}]),
                    {"role": "assistant", "content": "two"},
                    user([{"type": "text", "text": "three"}, {"type": "text", "text": "four"}]),
                ],
                max_tokens=1,
            ),
            (3 + 2) + (3 + 1) + (3 + 1) + (3 + 2) + 3,
        ),
    ],
)
def test_prompt_is_counted_with_the_files_of_its_model(call: Call, tokens: int, files: ModelFiles) -> None:
    prompt = prompts.read(call)
    assert prompt is not None
    assert prompts.count(files, prompt) == tokens
    assert bound_prompt(call) >= tokens


@pytest.mark.parametrize(
    "call",
    [
        chat(user("one"), documents=[{}]),
        chat(user("one"), reasoning_effort="low"),
        chat(user([{"type": "image_url", "image_url": {"url": "data:"}}])),
        call_of("/v1/completions", prompt="a", truncate_prompt_tokens=2),
        call_of("/v1/completions", prompt=[]),
        call_of("/v1/completions", prompt=[["a"], "b"]),
        call_of("/v1/responses", input="one", previous_response_id="r"),
        call_of("/v1/responses", input="one", instructions=["two"]),
        call_of("/v1/responses", input="one", truncation="auto"),
        call_of("/v1/responses", input="one", tools=[{"type": "web_search"}]),
        call_of("/v1/responses", input=[]),
        call_of("/v1/responses", input=["one"]),
        call_of("/v1/responses", input=[{"type": "reasoning", "summary": []}]),
        call_of("/v1/responses", input=[{**user("one"), "status": "in_progress"}]),
        call_of("/v1/responses", input=[user([{"type": "input_image", "image_url": "data:"}])]),
        call_of("/v1/responses", input=[user(7)]),
        call_of("/v1/rerank", query="one", documents=["two"], max_tokens_per_doc=5),
        call_of("/v1/rerank", query="one", documents=[{"content": []}]),
        call_of("/v1/score", data_1="one", data_2="two"),
        call_of("/v1/tokenize", prompt="one"),
        call_of("/v1/chat/completions", messages="one"),
    ],
)
def test_what_nobody_is_told_of_is_not_guessed(call: Call) -> None:
    assert prompts.read(call) is None


@pytest.mark.parametrize(
    "call",
    [
        chat(user("one"), tool_choice="none"),
        chat(user("one"), response_format={"type": "json_object"}),
        chat(user("one"), continue_final_message=True),
        chat({"role": "developer", "content": "one"}),
        chat({**user("one"), "cache_control": {}}),
        chat({"role": "system", "content": "x-anthropic-billing-header: a"}),
    ],
)
def test_what_the_replica_knows_better_is_left_to_it(call: Call, files: ModelFiles) -> None:
    prompt = prompts.read(call)
    assert prompt is not None
    assert prompts.count(files, prompt) is None


RANKING = call_of("/v1/rerank", query="one two", documents=["three", "four five"], top_n=1)


@pytest.mark.parametrize(
    ("call", "kind", "tokens"),
    [
        (RANKING, "embedding", 3 + 2 + 3),
        (RANKING, "rerank", (1 + 2 + 1) + (1 + 2 + 2)),
        (call_of("/v1/score", text_1=["one", "two"], text_2=["three", "four"]), "embedding", 4 * 2),
        (call_of("/v1/score", queries="one", documents="two"), "embedding", 2 + 2),
    ],
)
def test_texts_of_a_pair_are_counted_as_their_model_reads_them(
    call: Call, kind: ModelKind, tokens: int, files: ModelFiles
) -> None:
    prompt = prompts.read(call)
    assert prompt is not None
    assert prompts.count(files, prompt, kind) == tokens
    assert bound_prompt(call) >= tokens


def test_pairs_of_a_tokenizer_that_does_more_than_its_file_says_are_not_counted(tmp_path: Path) -> None:
    files = ModelFiles.load(write_model(tmp_path, tokenizer_class="XLMRobertaTokenizer"))
    prompt = prompts.read(RANKING)
    assert prompt is not None
    assert prompts.count(files, prompt, "embedding") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [user([{"type": "image", "source": {"type": "base64", "data": ""}}])]},
        {"messages": [user([{"type": "text", "text": ""}])]},
        {"messages": [{"role": "system", "content": "one"}]},
        {"messages": [user("one")], "thinking": {"type": "disabled"}},
        {"messages": [user("one")], "system": "x-anthropic-billing-header: a"},
        {"messages": [user("one")], "system": 7},
    ],
)
def test_messages_that_are_more_than_text_are_counted_by_the_replica(
    fields: dict[str, Any], files: ModelFiles
) -> None:
    prompt = prompts.read(call_of("/v1/messages", max_tokens=5, temperature=0, **fields))
    assert prompt == prompts.Question("/v1/messages/count_tokens", fields)
    assert prompts.count(files, prompt) is None


async def test_replica_that_counts_messages_is_believed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        assert asked.startswith(b"POST /v1/messages/count_tokens ")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{"input_tokens":41}')

    counting = PromptTokens(threads=1, folder_of=lambda _: None)
    call = call_of("/v1/messages", messages=[user("one")], max_tokens=5)
    async with stub_server(serve) as port:
        settings = ReplicaSettings(url=f"http://127.0.0.1:{port}")
        client = ReplicaClient(Address.parse(settings), timeouts=TimeoutSettings())
        replica = Replica("mock-0", client, is_ready=True, served_model_name="m")
        assert await counting.count(call, Pool("mock", "chat", (replica,), 0)) == 41
        client.close()
    counting.close()


async def test_pairs_that_cannot_be_counted_here_are_taken_at_their_bound() -> None:
    counting = PromptTokens(threads=1, folder_of=lambda _: None)
    assert await counting.count(RANKING, Pool("mock", "rerank", (), 0)) is None
    counting.close()


def test_tools_are_left_to_the_replica_where_the_template_writes_them(tmp_path: Path) -> None:
    files = ModelFiles.load(write_model(tmp_path, "{{ tools }}" + TEMPLATE))
    with_tools = prompts.read(chat(user("one"), tools=[{"type": "function"}]))
    assert with_tools is not None
    assert prompts.count(files, with_tools) is None


def test_model_without_a_template_counts_texts_alone(tmp_path: Path) -> None:
    files = ModelFiles.load(write_model(tmp_path, None))
    messages, text = prompts.read(chat(user("one"))), prompts.read(call_of("/v1/completions", prompt="one"))
    assert messages is not None
    assert text is not None
    assert (prompts.count(files, messages), prompts.count(files, text)) == (None, 2)


def test_tokenizer_of_an_unknown_class_is_left_to_the_replica(tmp_path: Path) -> None:
    files = ModelFiles.load(write_model(tmp_path, tokenizer_class="LlamaTokenizer"))
    text = prompts.read(call_of("/v1/completions", prompt="one"))
    assert text is not None
    assert prompts.count(files, text) is None


def test_template_in_a_file_of_its_own_wins(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("one two")
    prompt = prompts.read(chat(user("x")))
    assert prompt is not None
    assert prompts.count(ModelFiles.load(tmp_path), prompt) == 2


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception('no') }}",
    ],
)
def test_template_can_do_nothing_but_write(template: str) -> None:
    with pytest.raises((SecurityError, TemplateError)):
        render(compile_template(template), [], {})


def test_template_has_what_templates_expect() -> None:
    text = "{% generation %}{{ x | tojson }}{% endgeneration %}{% for i in [1] %}{% break %}{% endfor %}"
    assert render(compile_template(text + "{{ strftime_now('%Y') }}"), [], {"x": "é"})[:3] == '"é"'
    assert takes_texts(TEMPLATE)
    assert not takes_texts("{% for part in message.content %}{% endfor %}")
    assert not takes_texts("{% if message['content'] is string %}{% endif %}{% for c in m['content'] %}")


async def test_prompt_is_counted_in_a_thread_and_once(tmp_path: Path) -> None:
    write_model(tmp_path)
    threads: list[str] = []

    def folder_of(model: str) -> Path:
        assert model == "mock"
        threads.append(threading.current_thread().name)
        return tmp_path

    counting = PromptTokens(threads=1, folder_of=folder_of)
    pool, call = Pool("mock", "chat", (), 0), chat(user("one two three"))
    assert await asyncio.gather(*(counting.count(call, pool) for _ in range(5))) == [9] * 5
    assert threads == ["lmaas-count_0"]
    assert await counting.count(chat(user("x" * 5 * 2**20)), pool) is None
    assert await counting.count(chat(user("one"), documents=[{}]), pool) is None
    counting.close()


@pytest.mark.parametrize("content", ["not json", None])
async def test_files_that_cannot_be_read_leave_it_to_the_replica(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer_config.json").write_text(content)
    counting = PromptTokens(threads=1, folder_of=lambda _: tmp_path)
    assert await counting.count(chat(user("one")), Pool("mock", "chat", (), 0)) is None
    assert await counting.count(call_of("/v1/completions", prompt=[1, 2]), Pool("mock", "chat", (), 0)) == 2
    counting.close()


async def test_model_that_is_only_an_address_is_counted_by_its_replica() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        counting = PromptTokens(threads=1, folder_of=lambda _: None)
        told = await counting.count(chat(user("one two three")), running.pool)
        asked = replica.calls[-1].request
        assert asked.path == "/tokenize"
        assert told is not None
        assert told > 0
        assert await counting.count(call_of("/v1/completions", prompt="one two three"), running.pool) == 3
        assert await counting.count(call_of("/v1/completions", prompt=["one", "two"]), running.pool) == 2
        assert await counting.count(call_of("/v1/completions", prompt=["one"] * 50), running.pool) is None
        replica.script = Script(status=500)
        assert await counting.count(chat(user("other")), running.pool) is None
        replica.script = Script(headers_delay_s=5)
        assert await counting.count(chat(user("slow")), running.pool) is None
        counting.close()


@pytest.mark.parametrize(
    ("call", "tokens", "field"),
    [
        (chat(user("a")), None, "max_completion_tokens"),
        (chat(user("a"), max_tokens=3), 3, "max_completion_tokens"),
        (chat(user("a"), max_tokens=1, max_completion_tokens=9), 9, "max_completion_tokens"),
        (chat(user("a"), max_output_tokens=1), None, "max_completion_tokens"),
        (call_of("/v1/completions", prompt="a"), 16, "max_tokens"),
        (call_of("/v1/completions", prompt="a", max_tokens=None), None, "max_tokens"),
        (call_of("/v1/completions", prompt="a", max_completion_tokens=1), 16, "max_tokens"),
        (call_of("/v1/responses", input="a", max_tokens=1), None, "max_output_tokens"),
        (call_of("/v1/responses", input="a", max_output_tokens=4), 4, "max_output_tokens"),
        (call_of("/v1/messages", messages=[user("a")], max_tokens=7), 7, "max_tokens"),
        (call_of("/v1/embeddings", input="a"), 0, "max_tokens"),
    ],
)
def test_completion_is_bounded_by_what_the_engine_obeys(call: Call, tokens: int | None, field: str) -> None:
    assert bound_completion(call) == tokens
    assert bound_field(call) == field


def test_bound_of_a_ranking_counts_the_query_with_each_document() -> None:
    call = call_of("/v1/rerank", query="q" * 100, documents=["d"] * 10)
    assert bound_prompt(call) > 1000
    assert bound_prompt(call_of("/v1/tokenize", prompt="one")) == 0
    assert bound_prompt(make_call(b'{"model":"m","documents":1}', route=call.route)) == 27
    media = chat(user([{"type": "image_url", "image_url": {"url": "data:"}}]))
    assert bound_prompt(media) > 4096


def test_files_are_those_of_models_that_are_launched_here(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["XForCausalLM"]}')
    launched = {"name": "a", "model": str(tmp_path), "replicas": [{"url": "unix:/run/a"}]}
    remote = {"name": "b", "model": str(tmp_path), "replicas": [{"url": "http://127.0.0.1:1"}]}
    other = {**launched, "name": "c", "engine_args": ["--chat-template", "x.jinja"]}
    settings = Settings.model_validate({"models": [launched, remote, other]})
    assert find_files(settings, "a") == tmp_path.resolve()
    assert [find_files(settings, name) for name in "bcd"] == [None] * 3
