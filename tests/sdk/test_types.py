from __future__ import annotations

from lmaas.types import ChatCompletion, ChatCompletionChunk, Completion


def test_fields_unknown_here_are_kept_and_sent_back() -> None:
    data = b'{"id": "c", "created": 1, "model": "m", "choices": [], "kv_transfer_params": {"a": 1}}'
    chat = ChatCompletion.model_validate_json(data)
    assert chat.model_extra == {"kv_transfer_params": {"a": 1}}
    assert chat.model_dump(exclude_unset=True)["kv_transfer_params"] == {"a": 1}


def test_request_id_of_the_body_does_not_hide_that_of_the_reply() -> None:
    chat = ChatCompletion.model_validate(
        {"id": "c", "created": 1, "model": "m", "choices": [], "request_id": "b"}
    )
    assert chat.request_id is None


def test_answer_of_vllm_with_tools_logprobs_and_reasoning_is_read() -> None:
    logprob = {"token": "a", "logprob": -0.5, "bytes": [97]}
    chat = ChatCompletion.model_validate(
        {
            "id": "c",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "reasoning": "because",
                        "tool_calls": [
                            {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                        ],
                    },
                    "logprobs": {"content": [{**logprob, "top_logprobs": [logprob]}]},
                    "finish_reason": "tool_calls",
                    "stop_reason": 2,
                    "token_ids": None,
                }
            ],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "total_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            "prompt_logprobs": None,
        }
    )
    choice = chat.choices[0]
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.name == "f"
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert choice.logprobs.content[0].top_logprobs[0].logprob == -0.5
    assert chat.usage is not None
    assert chat.usage.prompt_tokens_details is not None
    assert (chat.usage.prompt_tokens_details.cached_tokens, choice.stop_reason) == (4, 2)


def test_tool_call_pieces_of_a_stream_are_read() -> None:
    piece = {"index": 0, "function": {"arguments": '{"a'}}
    chunk = ChatCompletionChunk.model_validate(
        {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}
    )
    calls = chunk.choices[0].delta.tool_calls
    assert calls is not None
    assert calls[0].function is not None
    assert calls[0].function.arguments == '{"a'


def test_logprobs_of_completions_are_read() -> None:
    logprobs = {"tokens": ["a"], "token_logprobs": [None], "text_offset": [0], "top_logprobs": [None]}
    choice = {"index": 0, "text": "a", "logprobs": logprobs}
    text = Completion.model_validate({"id": "c", "created": 1, "model": "m", "choices": [choice]})
    assert text.choices[0].logprobs is not None
    assert text.choices[0].logprobs.token_logprobs == [None]
