"""One file for each noun of the API, synchronous and asynchronous twins side by side.

The rarer ones are imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas import _lazy
from lmaas.resources.chat import AsyncChat, AsyncChatCompletions, Chat, ChatCompletions
from lmaas.resources.completions import AsyncCompletions, Completions
from lmaas.resources.embeddings import AsyncEmbeddings, Embeddings
from lmaas.resources.models import AsyncModels, ModelListing, Models

if TYPE_CHECKING:
    from lmaas.resources._pages import AsyncPage, Listing, Page
    from lmaas.resources.admin import Admin, AsyncAdmin
    from lmaas.resources.admin.audit import AdminAudit, AsyncAdminAudit
    from lmaas.resources.admin.calls import AsyncCalls, Calls
    from lmaas.resources.admin.contents import AdminContents, AsyncAdminContents
    from lmaas.resources.admin.keys import AdminKeys, AsyncAdminKeys
    from lmaas.resources.admin.limits import AdminLimits, AsyncAdminLimits
    from lmaas.resources.admin.logs import AdminLogs, AsyncAdminLogs
    from lmaas.resources.admin.members import AdminMembers, AsyncAdminMembers
    from lmaas.resources.admin.organizations import AdminOrganizations, AsyncAdminOrganizations
    from lmaas.resources.admin.projects import AdminProjects, AsyncAdminProjects
    from lmaas.resources.admin.quality import AdminQuality, AsyncAdminQuality
    from lmaas.resources.admin.usage import AdminUsage, AsyncAdminUsage
    from lmaas.resources.batches import AsyncBatches, Batches
    from lmaas.resources.chat_stream import AsyncChatCompletionStream, ChatCompletionStream
    from lmaas.resources.classify import AsyncClassify, Classify
    from lmaas.resources.detokenize import AsyncDetokenize, Detokenize
    from lmaas.resources.feedback import AsyncFeedbackBox, FeedbackBox
    from lmaas.resources.files import AsyncFiles, BinaryContent, Files
    from lmaas.resources.rerank import AsyncRerank, Rerank
    from lmaas.resources.responses import AsyncResponses, Responses
    from lmaas.resources.score import AsyncScores, Scores
    from lmaas.resources.tokenize import AsyncTokenize, Tokenize

__all__ = [
    "Admin",
    "AdminAudit",
    "AdminContents",
    "AdminKeys",
    "AdminLimits",
    "AdminLogs",
    "AdminMembers",
    "AdminOrganizations",
    "AdminProjects",
    "AdminQuality",
    "AdminUsage",
    "AsyncAdmin",
    "AsyncAdminAudit",
    "AsyncAdminContents",
    "AsyncAdminKeys",
    "AsyncAdminLimits",
    "AsyncAdminLogs",
    "AsyncAdminMembers",
    "AsyncAdminOrganizations",
    "AsyncAdminProjects",
    "AsyncAdminQuality",
    "AsyncAdminUsage",
    "AsyncBatches",
    "AsyncCalls",
    "AsyncChat",
    "AsyncChatCompletionStream",
    "AsyncChatCompletions",
    "AsyncClassify",
    "AsyncCompletions",
    "AsyncDetokenize",
    "AsyncEmbeddings",
    "AsyncFeedbackBox",
    "AsyncFiles",
    "AsyncModels",
    "AsyncPage",
    "AsyncRerank",
    "AsyncResponses",
    "AsyncScores",
    "AsyncTokenize",
    "Batches",
    "BinaryContent",
    "Calls",
    "Chat",
    "ChatCompletionStream",
    "ChatCompletions",
    "Classify",
    "Completions",
    "Detokenize",
    "Embeddings",
    "FeedbackBox",
    "Files",
    "Listing",
    "ModelListing",
    "Models",
    "Page",
    "Rerank",
    "Responses",
    "Scores",
    "Tokenize",
]

__getattr__ = _lazy.lazy_names(
    __name__,
    _lazy.by_name(
        {
            "lmaas.resources._pages": "AsyncPage Listing Page",
            "lmaas.resources.admin": "Admin AsyncAdmin",
            "lmaas.resources.admin.audit": "AdminAudit AsyncAdminAudit",
            "lmaas.resources.admin.calls": "AsyncCalls Calls",
            "lmaas.resources.admin.contents": "AdminContents AsyncAdminContents",
            "lmaas.resources.admin.keys": "AdminKeys AsyncAdminKeys",
            "lmaas.resources.admin.limits": "AdminLimits AsyncAdminLimits",
            "lmaas.resources.admin.logs": "AdminLogs AsyncAdminLogs",
            "lmaas.resources.admin.members": "AdminMembers AsyncAdminMembers",
            "lmaas.resources.admin.organizations": "AdminOrganizations AsyncAdminOrganizations",
            "lmaas.resources.admin.projects": "AdminProjects AsyncAdminProjects",
            "lmaas.resources.admin.quality": "AdminQuality AsyncAdminQuality",
            "lmaas.resources.admin.usage": "AdminUsage AsyncAdminUsage",
            "lmaas.resources.batches": "AsyncBatches Batches",
            "lmaas.resources.chat_stream": "AsyncChatCompletionStream ChatCompletionStream",
            "lmaas.resources.classify": "AsyncClassify Classify",
            "lmaas.resources.detokenize": "AsyncDetokenize Detokenize",
            "lmaas.resources.feedback": "AsyncFeedbackBox FeedbackBox",
            "lmaas.resources.files": "AsyncFiles BinaryContent Files",
            "lmaas.resources.rerank": "AsyncRerank Rerank",
            "lmaas.resources.responses": "AsyncResponses Responses",
            "lmaas.resources.score": "AsyncScores Scores",
            "lmaas.resources.tokenize": "AsyncTokenize Tokenize",
        }
    ),
)
