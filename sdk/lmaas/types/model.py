"""Replies of `/v1/models`."""

from __future__ import annotations

from collections.abc import Iterator

from lmaas.types._base import ReplyModel


class Model(ReplyModel):
    """A model that can be called by its `id`.

    `max_model_len` is its context length in tokens; servers other than vLLM and lmaas leave it out.
    """

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = ""
    max_model_len: int | None = None


class ModelList(ReplyModel):
    """The models of a server. Iterating gives them in the server's order."""

    object: str = "list"
    data: list[Model]

    def __iter__(self) -> Iterator[Model]:  # type: ignore[override]  # a list of models, not of fields
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)
