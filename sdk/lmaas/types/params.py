"""Parameters of calls, as dictionaries with known keys.

Names and meanings are the OpenAI API's, and vLLM's where marked. What a caller leaves out is not sent,
so the server's own default holds; `None` is sent as JSON null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Required, TypeAlias, TypedDict

if TYPE_CHECKING:
    from lmaas._options import Timeout
    from lmaas.types.chat import ChatCompletionMessage


class CallOptions(TypedDict, total=False):
    """What every call takes beside its own parameters.

    `extra_body` is merged into the JSON body last and wins; `timeout` replaces the client's.
    """

    extra_headers: Mapping[str, str]
    extra_query: Mapping[str, Any]
    extra_body: Mapping[str, Any]
    timeout: float | Timeout | None


class ChatCompletionMessageParam(TypedDict, total=False):
    """A message of a conversation.

    `role` is text, not a closed list: models have roles of their own, and code holds roles in variables.
    """

    role: Required[str]
    content: str | Iterable[Mapping[str, Any]] | None
    name: str
    tool_calls: Iterable[Any]
    tool_call_id: str
    reasoning: str | None


MessageParam: TypeAlias = "ChatCompletionMessageParam | ChatCompletionMessage | Mapping[str, Any]"


class StreamOptions(TypedDict, total=False):
    """What a stream tells beside the answer; `continuous_usage_stats` is vLLM's."""

    include_usage: bool
    continuous_usage_stats: bool


class FunctionDefinition(TypedDict, total=False):
    """A function that the model may ask for; `parameters` is a JSON schema."""

    name: Required[str]
    description: str
    parameters: Mapping[str, Any]
    strict: bool | None


class ToolParam(TypedDict):
    """A tool of the model."""

    type: Literal["function"]
    function: FunctionDefinition


class StructuredOutputs(TypedDict, total=False):
    """vLLM's constraint on the text: give exactly one of the first five."""

    json: str | Mapping[str, Any]
    regex: str
    choice: Sequence[str]
    grammar: str
    structural_tag: str
    disable_any_whitespace: bool
    whitespace_pattern: str


class _SamplingParams(TypedDict, total=False):
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | None
    max_tokens: int | None
    n: int | None
    presence_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    stream_options: StreamOptions | None
    temperature: float | None
    top_p: float | None
    user: str


class _VLLMSamplingParams(TypedDict, total=False):
    allowed_token_ids: Sequence[int]
    bad_words: Sequence[str]
    cache_salt: str
    ignore_eos: bool
    include_stop_str_in_output: bool
    length_penalty: float
    logprob_token_ids: Sequence[int]
    min_p: float
    min_tokens: int
    priority: int
    prompt_logprobs: int
    repetition_penalty: float
    return_token_ids: bool
    return_tokens_as_token_ids: bool
    skip_special_tokens: bool
    spaces_between_special_tokens: bool
    stop_token_ids: Sequence[int]
    structured_outputs: StructuredOutputs
    top_k: int
    truncate_prompt_tokens: int
    truncation_side: Literal["left", "right"]
    use_beam_search: bool
    vllm_xargs: Mapping[str, Any]


class _ChatParams(_SamplingParams, _VLLMSamplingParams, CallOptions, total=False):
    logprobs: bool | None
    max_completion_tokens: int | None
    metadata: Mapping[str, str] | None
    parallel_tool_calls: bool
    prompt_cache_key: str
    reasoning_effort: str | None
    safety_identifier: str
    service_tier: str | None
    store: bool | None
    tool_choice: str | Mapping[str, Any]
    top_logprobs: int | None
    verbosity: str | None
    add_generation_prompt: bool
    add_special_tokens: bool
    chat_template: str | None
    chat_template_kwargs: Mapping[str, Any]
    continue_final_message: bool
    documents: Sequence[Mapping[str, str]]
    echo: bool
    include_reasoning: bool
    mm_processor_kwargs: Mapping[str, Any]
    thinking_token_budget: int | None


class ChatCompletionParams(_ChatParams, total=False):
    """Parameters of `chat.completions.create` beside `messages`, `model` and `stream`.

    From vLLM: `add_generation_prompt` to `thinking_token_budget`, and those of `_VLLMSamplingParams`.
    """

    response_format: Mapping[str, Any]
    tools: Iterable[ToolParam | Mapping[str, Any]]


class ChatParseParams(_ChatParams, total=False):
    """Parameters of `chat.completions.parse` and `stream`: those of `create`, with a type."""

    tools: Iterable[ToolParam | Mapping[str, Any]]


class RunToolsParams(_ChatParams, total=False):
    """Parameters of `chat.completions.run_tools`: those of `create`, with functions as `tools`."""

    response_format: Mapping[str, Any]


class CompletionParams(_SamplingParams, _VLLMSamplingParams, CallOptions, total=False):
    """Parameters of `completions.create` beside `model`, `prompt` and `stream`."""

    echo: bool | None
    logprobs: int | None
    response_format: Mapping[str, Any]
    suffix: str | None
    add_special_tokens: bool


class EmbeddingParams(CallOptions, total=False):
    """Parameters of `embeddings.create` beside `input`, `model` and `encoding_format`.

    From vLLM: `add_special_tokens`, `priority`, `truncate_prompt_tokens`.
    """

    dimensions: int
    user: str
    add_special_tokens: bool
    priority: int
    truncate_prompt_tokens: int


class _PoolingParams(CallOptions, total=False):
    user: str
    priority: int
    truncate_prompt_tokens: int
    use_activation: bool


class RerankParams(_PoolingParams, total=False):
    """Parameters of `rerank.create` beside `model`, `query` and `documents`. All are vLLM's."""

    top_n: int
    instruction: str | None
    max_tokens_per_doc: int
    max_tokens_per_query: int
    chat_template_kwargs: Mapping[str, Any]


class ScoreParams(_PoolingParams, total=False):
    """Parameters of `score.create` beside `model`, `text_1` and `text_2`. All are vLLM's."""

    instruction: str | None
    max_tokens_per_doc: int
    max_tokens_per_query: int
    chat_template_kwargs: Mapping[str, Any]


class ClassifyParams(_PoolingParams, total=False):
    """Parameters of `classify.create` beside `model` and `input`. All are vLLM's."""

    add_special_tokens: bool


class TokenizeParams(CallOptions, total=False):
    """Parameters of `tokenize.create` beside `model` and `prompt` or `messages`. All are vLLM's."""

    add_special_tokens: bool
    return_token_strs: bool | None
    add_generation_prompt: bool
    continue_final_message: bool
    chat_template: str | None
    chat_template_kwargs: Mapping[str, Any]
    tools: Iterable[ToolParam | Mapping[str, Any]]


class ResponseParams(CallOptions, total=False):
    """Parameters of `responses.create` beside `input`, `model` and `stream`.

    From vLLM: `cache_salt` and everything below it.
    """

    background: bool | None
    include: Sequence[str] | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str] | None
    parallel_tool_calls: bool | None
    previous_response_id: str | None
    prompt_cache_key: str
    reasoning: Mapping[str, Any] | None
    safety_identifier: str
    service_tier: str | None
    store: bool | None
    temperature: float | None
    text: Mapping[str, Any]
    tool_choice: str | Mapping[str, Any]
    tools: Iterable[Mapping[str, Any]]
    top_logprobs: int | None
    top_p: float | None
    truncation: str | None
    user: str
    cache_salt: str
    chat_template_kwargs: Mapping[str, Any]
    frequency_penalty: float | None
    ignore_eos: bool
    include_reasoning: bool
    include_stop_str_in_output: bool
    logit_bias: Mapping[str, float] | None
    min_p: float
    presence_penalty: float | None
    priority: int
    repetition_penalty: float
    seed: int | None
    skip_special_tokens: bool
    stop: str | Sequence[str] | None
    stop_token_ids: Sequence[int]
    structured_outputs: StructuredOutputs
    top_k: int


class ListParams(CallOptions, total=False):
    """Parameters of listings that come in pages: `after` is the id of the last item of the page before."""

    after: str
    limit: int
    order: Literal["asc", "desc"]


class FileListParams(ListParams, total=False):
    """Parameters of `files.list`."""

    purpose: str


class FileParams(CallOptions, total=False):
    """Parameters of `files.create` beside `file` and `purpose`."""

    expires_after: Mapping[str, Any]


class BatchParams(CallOptions, total=False):
    """Parameters of `batches.create` beside `endpoint`, `input_file_id` and `completion_window`."""

    metadata: Mapping[str, str] | None
    output_expires_after: Mapping[str, Any]
