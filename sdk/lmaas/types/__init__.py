"""Typed objects of the wire: pydantic models for what comes back, typed dictionaries for what goes out.

Those of rarer calls are imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas import _lazy
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
    BatchParams,
    CallOptions,
    ChatCompletionMessageParam,
    ChatCompletionParams,
    ChatParseParams,
    ClassifyParams,
    CompletionParams,
    EmbeddingParams,
    FileListParams,
    FileParams,
    FunctionDefinition,
    ListParams,
    MessageParam,
    RerankParams,
    ResponseParams,
    RunToolsParams,
    ScoreParams,
    StreamOptions,
    StructuredOutputs,
    TokenizeParams,
    ToolParam,
)

if TYPE_CHECKING:
    from lmaas.types.batch import (
        Batch,
        BatchError,
        BatchErrors,
        BatchList,
        BatchRequestCounts,
    )
    from lmaas.types.file import FileDeleted, FileList, FileObject
    from lmaas.types.parsed import ParsedChatCompletion, ParsedChoice, ParsedMessage
    from lmaas.types.response import (
        IncompleteDetails,
        InputTokensDetails,
        OutputTokensDetails,
        Response,
        ResponseArgumentsDoneEvent,
        ResponseContent,
        ResponseContentPartEvent,
        ResponseDeltaEvent,
        ResponseEvent,
        ResponseFault,
        ResponseOutputItem,
        ResponseOutputItemEvent,
        ResponseStateEvent,
        ResponseTextDoneEvent,
        ResponseUsage,
    )
    from lmaas.types.scoring import (
        Classification,
        ClassifyResponse,
        RerankDocument,
        RerankResponse,
        RerankResult,
        Score,
        ScoreResponse,
    )
    from lmaas.types.stream_event import (
        ChatStreamEvent,
        ChunkEvent,
        ContentDeltaEvent,
        ContentDoneEvent,
        FunctionToolCallArgumentsDeltaEvent,
        FunctionToolCallArgumentsDoneEvent,
        LogprobsContentDeltaEvent,
        ReasoningDeltaEvent,
        ReasoningDoneEvent,
        RefusalDeltaEvent,
        RefusalDoneEvent,
        TextSoFar,
    )
    from lmaas.types.token import DetokenizeResponse, TokenizeResponse

__all__ = [
    "Base64Embedding",
    "Batch",
    "BatchError",
    "BatchErrors",
    "BatchList",
    "BatchParams",
    "BatchRequestCounts",
    "CallOptions",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionMessage",
    "ChatCompletionMessageParam",
    "ChatCompletionParams",
    "ChatParseParams",
    "ChatStreamEvent",
    "Choice",
    "ChoiceDelta",
    "ChoiceLogprobs",
    "ChunkChoice",
    "ChunkEvent",
    "Classification",
    "ClassifyParams",
    "ClassifyResponse",
    "Completion",
    "CompletionChoice",
    "CompletionLogprobs",
    "CompletionParams",
    "CompletionTokensDetails",
    "ContentDeltaEvent",
    "ContentDoneEvent",
    "CreateBase64EmbeddingResponse",
    "CreateEmbeddingResponse",
    "DetokenizeResponse",
    "Embedding",
    "EmbeddingParams",
    "FileDeleted",
    "FileList",
    "FileListParams",
    "FileObject",
    "FileParams",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionDefinition",
    "FunctionToolCallArgumentsDeltaEvent",
    "FunctionToolCallArgumentsDoneEvent",
    "IncompleteDetails",
    "InputTokensDetails",
    "ListParams",
    "LogprobsContentDeltaEvent",
    "MessageParam",
    "Model",
    "ModelList",
    "OutputTokensDetails",
    "ParsedChatCompletion",
    "ParsedChoice",
    "ParsedMessage",
    "PromptTokensDetails",
    "ReasoningDeltaEvent",
    "ReasoningDoneEvent",
    "RefusalDeltaEvent",
    "RefusalDoneEvent",
    "ReplyModel",
    "RerankDocument",
    "RerankParams",
    "RerankResponse",
    "RerankResult",
    "Response",
    "ResponseArgumentsDoneEvent",
    "ResponseContent",
    "ResponseContentPartEvent",
    "ResponseDeltaEvent",
    "ResponseEvent",
    "ResponseFault",
    "ResponseOutputItem",
    "ResponseOutputItemEvent",
    "ResponseParams",
    "ResponseStateEvent",
    "ResponseTextDoneEvent",
    "ResponseUsage",
    "RunToolsParams",
    "Score",
    "ScoreParams",
    "ScoreResponse",
    "StreamOptions",
    "StructuredOutputs",
    "TextSoFar",
    "TokenLogprob",
    "TokenizeParams",
    "TokenizeResponse",
    "ToolCall",
    "ToolCallDelta",
    "ToolParam",
    "TopLogprob",
    "Usage",
    "WireModel",
]

__getattr__ = _lazy.lazy_names(
    __name__,
    _lazy.by_name(
        {
            "lmaas.types.batch": "Batch BatchError BatchErrors BatchList BatchRequestCounts",
            "lmaas.types.file": "FileDeleted FileList FileObject",
            "lmaas.types.parsed": "ParsedChatCompletion ParsedChoice ParsedMessage",
            "lmaas.types.response": (
                "IncompleteDetails InputTokensDetails OutputTokensDetails Response "
                "ResponseArgumentsDoneEvent ResponseContent ResponseContentPartEvent "
                "ResponseDeltaEvent ResponseEvent ResponseFault ResponseOutputItem "
                "ResponseOutputItemEvent ResponseStateEvent ResponseTextDoneEvent ResponseUsage"
            ),
            "lmaas.types.scoring": (
                "Classification ClassifyResponse RerankDocument RerankResponse RerankResult Score "
                "ScoreResponse"
            ),
            "lmaas.types.stream_event": (
                "ChatStreamEvent ChunkEvent ContentDeltaEvent ContentDoneEvent "
                "FunctionToolCallArgumentsDeltaEvent FunctionToolCallArgumentsDoneEvent "
                "LogprobsContentDeltaEvent ReasoningDeltaEvent ReasoningDoneEvent "
                "RefusalDeltaEvent RefusalDoneEvent TextSoFar"
            ),
            "lmaas.types.token": "DetokenizeResponse TokenizeResponse",
        }
    ),
)
