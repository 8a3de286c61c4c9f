"""The rarer resources of a client, each imported when it is first used.

Who chats does not pay for files and batches.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmaas._options import ClientOptions
    from lmaas.resources import (
        Admin,
        AsyncAdmin,
        AsyncBatches,
        AsyncCalls,
        AsyncClassify,
        AsyncDetokenize,
        AsyncFeedbackBox,
        AsyncFiles,
        AsyncRerank,
        AsyncResponses,
        AsyncScores,
        AsyncTokenize,
        Batches,
        Calls,
        Classify,
        Detokenize,
        FeedbackBox,
        Files,
        Rerank,
        Responses,
        Scores,
        Tokenize,
    )
    from lmaas.resources._caller import AsyncCaller, Caller


class RarerResources:
    """What `LMaaS` has beside its attributes."""

    if TYPE_CHECKING:
        _options: ClientOptions
        _caller: Caller

        def _caller_for(self, options: ClientOptions) -> Caller: ...

    @cached_property
    def responses(self) -> Responses:
        """The newer way to call chat models."""
        from lmaas.resources import Responses

        return Responses(self._caller)

    @cached_property
    def rerank(self) -> Rerank:
        """Documents by relevance."""
        from lmaas.resources import Rerank

        return Rerank(self._caller)

    @cached_property
    def score(self) -> Scores:
        """Scores of pairs of texts."""
        from lmaas.resources import Scores

        return Scores(self._caller)

    @cached_property
    def classify(self) -> Classify:
        """Classes of texts."""
        from lmaas.resources import Classify

        return Classify(self._caller)

    @cached_property
    def tokenize(self) -> Tokenize:
        """Texts as the tokens of a model."""
        from lmaas.resources import Tokenize

        return Tokenize(self._caller)

    @cached_property
    def detokenize(self) -> Detokenize:
        """Tokens as a text."""
        from lmaas.resources import Detokenize

        return Detokenize(self._caller)

    @cached_property
    def feedback(self) -> FeedbackBox:
        """What replies were worth."""
        from lmaas.resources import FeedbackBox

        return FeedbackBox(self._caller)

    @cached_property
    def files(self) -> Files:
        """Files on the server."""
        from lmaas.resources import Files

        return Files(self._caller)

    @cached_property
    def batches(self) -> Batches:
        """Many calls from one file."""
        from lmaas.resources import Batches

        return Batches(self._caller)

    @cached_property
    def admin(self) -> Admin:
        """Projects, keys, limits and books of the gateway, for who may."""
        from lmaas.resources import Admin

        return Admin(self._caller_for(self._options.for_admin()))

    @property
    def calls(self) -> Calls:
        """The last calls of the gateway, and what happened to each, for who may; `admin.calls`."""
        return self.admin.calls


class AsyncRarerResources:
    """The asynchronous twin of `RarerResources`."""

    if TYPE_CHECKING:
        _options: ClientOptions
        _caller: AsyncCaller

        def _caller_for(self, options: ClientOptions) -> AsyncCaller: ...

    @cached_property
    def responses(self) -> AsyncResponses:
        """The newer way to call chat models."""
        from lmaas.resources import AsyncResponses

        return AsyncResponses(self._caller)

    @cached_property
    def rerank(self) -> AsyncRerank:
        """Documents by relevance."""
        from lmaas.resources import AsyncRerank

        return AsyncRerank(self._caller)

    @cached_property
    def score(self) -> AsyncScores:
        """Scores of pairs of texts."""
        from lmaas.resources import AsyncScores

        return AsyncScores(self._caller)

    @cached_property
    def classify(self) -> AsyncClassify:
        """Classes of texts."""
        from lmaas.resources import AsyncClassify

        return AsyncClassify(self._caller)

    @cached_property
    def tokenize(self) -> AsyncTokenize:
        """Texts as the tokens of a model."""
        from lmaas.resources import AsyncTokenize

        return AsyncTokenize(self._caller)

    @cached_property
    def detokenize(self) -> AsyncDetokenize:
        """Tokens as a text."""
        from lmaas.resources import AsyncDetokenize

        return AsyncDetokenize(self._caller)

    @cached_property
    def feedback(self) -> AsyncFeedbackBox:
        """What replies were worth."""
        from lmaas.resources import AsyncFeedbackBox

        return AsyncFeedbackBox(self._caller)

    @cached_property
    def files(self) -> AsyncFiles:
        """Files on the server."""
        from lmaas.resources import AsyncFiles

        return AsyncFiles(self._caller)

    @cached_property
    def batches(self) -> AsyncBatches:
        """Many calls from one file."""
        from lmaas.resources import AsyncBatches

        return AsyncBatches(self._caller)

    @cached_property
    def admin(self) -> AsyncAdmin:
        """Projects, keys, limits and books of the gateway, for who may."""
        from lmaas.resources import AsyncAdmin

        return AsyncAdmin(self._caller_for(self._options.for_admin()))

    @property
    def calls(self) -> AsyncCalls:
        """The last calls of the gateway, and what happened to each, for who may; `admin.calls`."""
        return self.admin.calls
