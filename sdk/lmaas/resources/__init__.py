"""One file for each noun of the API, synchronous and asynchronous twins side by side."""

from __future__ import annotations

from lmaas.resources.chat import AsyncChat, AsyncChatCompletions, Chat, ChatCompletions
from lmaas.resources.completions import AsyncCompletions, Completions
from lmaas.resources.embeddings import AsyncEmbeddings, Embeddings
from lmaas.resources.models import AsyncModels, Models

__all__ = [
    "AsyncChat",
    "AsyncChatCompletions",
    "AsyncCompletions",
    "AsyncEmbeddings",
    "AsyncModels",
    "Chat",
    "ChatCompletions",
    "Completions",
    "Embeddings",
    "Models",
]
