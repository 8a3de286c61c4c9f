"""Typed objects of the wire: pydantic models for what comes back, typed dictionaries for what goes out."""

from __future__ import annotations

from lmaas.types._base import (
    CompletionTokensDetails,
    PromptTokensDetails,
    ReplyModel,
    Usage,
    WireModel,
)
from lmaas.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    ChoiceLogprobs,
    ChunkChoice,
    FunctionCall,
    FunctionCallDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    TopLogprob,
)
from lmaas.types.completion import Completion, CompletionChoice, CompletionLogprobs
from lmaas.types.embedding import (
    Base64Embedding,
    CreateBase64EmbeddingResponse,
    CreateEmbeddingResponse,
    Embedding,
)
from lmaas.types.model import Model, ModelList
from lmaas.types.params import (
    CallOptions,
    ChatCompletionMessageParam,
    ChatCompletionParams,
    CompletionParams,
    EmbeddingParams,
    FunctionDefinition,
    MessageParam,
    StreamOptions,
    StructuredOutputs,
    ToolParam,
)

__all__ = [
    "Base64Embedding",
    "CallOptions",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionMessage",
    "ChatCompletionMessageParam",
    "ChatCompletionParams",
    "Choice",
    "ChoiceDelta",
    "ChoiceLogprobs",
    "ChunkChoice",
    "Completion",
    "CompletionChoice",
    "CompletionLogprobs",
    "CompletionParams",
    "CompletionTokensDetails",
    "CreateBase64EmbeddingResponse",
    "CreateEmbeddingResponse",
    "Embedding",
    "EmbeddingParams",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionDefinition",
    "MessageParam",
    "Model",
    "ModelList",
    "PromptTokensDetails",
    "ReplyModel",
    "StreamOptions",
    "StructuredOutputs",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolParam",
    "TopLogprob",
    "Usage",
    "WireModel",
]
