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
    from lmaas.types.admin import (
        Actor,
        AdminList,
        ApiKey,
        AuditEntry,
        AuditVerdict,
        Deleted,
        Erasure,
        IssuedApiKey,
        KeyScopes,
        LogLines,
        Member,
        ModelPrice,
        ModelQuality,
        Organization,
        Project,
        StoredContent,
        UsageLimit,
        UsageTotal,
    )
    from lmaas.types.admin_params import (
        AdminListParams,
        AdminOptions,
        AuditListParams,
        ContentListParams,
        KeyChangeParams,
        KeyListParams,
        KeyParams,
        KeyRotationParams,
        KeyScopesParam,
        LimitListParams,
        LimitParams,
        LiveParams,
        LogParams,
        MemberChangeParams,
        MemberListParams,
        MemberParams,
        OrganizationChangeParams,
        ProjectChangeParams,
        ProjectParams,
        QualityParams,
        SilenceParams,
        UsageExportParams,
        UsageParams,
    )
    from lmaas.types.batch import (
        Batch,
        BatchError,
        BatchErrors,
        BatchList,
        BatchRequestCounts,
    )
    from lmaas.types.calls import (
        CallCandidate,
        CallEngineTimes,
        CallExplanation,
        CallFailure,
        CallFallback,
        CallLimit,
        CallListParams,
        CallStep,
        ServedCall,
    )
    from lmaas.types.feedback import Feedback
    from lmaas.types.file import FileDeleted, FileList, FileObject
    from lmaas.types.live import (
        Alert,
        LiveEngine,
        LiveFlow,
        LiveModel,
        LiveReplica,
        LiveSecond,
        LiveSpread,
        LiveView,
    )
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
    "Actor",
    "AdminList",
    "AdminListParams",
    "AdminOptions",
    "Alert",
    "ApiKey",
    "AuditEntry",
    "AuditListParams",
    "AuditVerdict",
    "Base64Embedding",
    "Batch",
    "BatchError",
    "BatchErrors",
    "BatchList",
    "BatchParams",
    "BatchRequestCounts",
    "CallCandidate",
    "CallEngineTimes",
    "CallExplanation",
    "CallFailure",
    "CallFallback",
    "CallLimit",
    "CallListParams",
    "CallOptions",
    "CallStep",
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
    "ContentListParams",
    "CreateBase64EmbeddingResponse",
    "CreateEmbeddingResponse",
    "Deleted",
    "DetokenizeResponse",
    "Embedding",
    "EmbeddingParams",
    "Erasure",
    "Feedback",
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
    "IssuedApiKey",
    "KeyChangeParams",
    "KeyListParams",
    "KeyParams",
    "KeyRotationParams",
    "KeyScopes",
    "KeyScopesParam",
    "LimitListParams",
    "LimitParams",
    "ListParams",
    "LiveEngine",
    "LiveFlow",
    "LiveModel",
    "LiveParams",
    "LiveReplica",
    "LiveSecond",
    "LiveSpread",
    "LiveView",
    "LogLines",
    "LogParams",
    "LogprobsContentDeltaEvent",
    "Member",
    "MemberChangeParams",
    "MemberListParams",
    "MemberParams",
    "MessageParam",
    "Model",
    "ModelList",
    "ModelPrice",
    "ModelQuality",
    "Organization",
    "OrganizationChangeParams",
    "OutputTokensDetails",
    "ParsedChatCompletion",
    "ParsedChoice",
    "ParsedMessage",
    "Project",
    "ProjectChangeParams",
    "ProjectParams",
    "PromptTokensDetails",
    "QualityParams",
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
    "ServedCall",
    "SilenceParams",
    "StoredContent",
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
    "UsageExportParams",
    "UsageLimit",
    "UsageParams",
    "UsageTotal",
    "WireModel",
]

__getattr__ = _lazy.lazy_names(
    __name__,
    _lazy.by_name(
        {
            "lmaas.types.admin": (
                "Actor AdminList ApiKey AuditEntry AuditVerdict Deleted Erasure IssuedApiKey "
                "KeyScopes LogLines Member ModelPrice ModelQuality Organization Project StoredContent "
                "UsageLimit "
                "UsageTotal"
            ),
            "lmaas.types.admin_params": (
                "AdminListParams AdminOptions AuditListParams ContentListParams KeyChangeParams "
                "KeyListParams KeyParams KeyRotationParams KeyScopesParam LimitListParams "
                "LimitParams LiveParams LogParams MemberChangeParams MemberListParams MemberParams "
                "OrganizationChangeParams ProjectChangeParams ProjectParams QualityParams SilenceParams "
                "UsageExportParams UsageParams"
            ),
            "lmaas.types.batch": "Batch BatchError BatchErrors BatchList BatchRequestCounts",
            "lmaas.types.calls": (
                "CallCandidate CallEngineTimes CallExplanation CallFailure CallFallback CallLimit "
                "CallListParams CallStep ServedCall"
            ),
            "lmaas.types.feedback": "Feedback",
            "lmaas.types.file": "FileDeleted FileList FileObject",
            "lmaas.types.live": (
                "Alert LiveEngine LiveFlow LiveModel LiveReplica LiveSecond LiveSpread LiveView"
            ),
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
