"""What every object of the wire has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr


class WireModel(BaseModel):
    """An object as the server sent it. Fields that this release does not know are kept, as attributes.

    Validators are built at first use, so that importing costs nothing for what is never called.
    """

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """Return what the server sent, as plain values that JSON knows."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return what the server sent, as JSON text."""
        return self.model_dump_json(exclude_unset=True, indent=indent)


class ReplyModel(WireModel):
    """The body of a whole reply."""

    _request_id: str | None = PrivateAttr(default=None)

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` of the reply: what to quote when asking the operator about a call."""
        return self._request_id

    @property
    def lmaas_metadata(self) -> Any:
        """Why the call went where it went, a `lmaas.routing.Route`; None with one platform."""
        return (self.__pydantic_private__ or {}).get("route")

    def set_metadata(self, route: object) -> None:
        """Say why the call went where it went."""
        # No field of the class: replies of clients with one platform are made without it.
        if self.__pydantic_private__ is not None:
            self.__pydantic_private__["route"] = route


class PromptTokensDetails(WireModel):
    """Where prompt tokens came from."""

    cached_tokens: int | None = None


class CompletionTokensDetails(WireModel):
    """What completion tokens were spent on."""

    reasoning_tokens: int | None = None


class Usage(WireModel):
    """Tokens that a call was charged for."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
