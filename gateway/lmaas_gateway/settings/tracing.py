"""Traces of calls."""

from __future__ import annotations

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN


class TracingSettings(BaseModel):
    """Spans of a part of the calls, sent to an OpenTelemetry collector."""

    model_config = FROZEN

    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="URL of an OTLP collector for traces over HTTP, such as "
        "`http://127.0.0.1:4318/v1/traces`. Default: nothing is traced.",
    )
    ratio: float = Field(
        default=0.01, ge=0, le=1, description="Share of calls that are traced where their callers do not say."
    )
    engines: bool = Field(
        default=True,
        description="Have launched engines send their own spans of traced calls, `llm_request`, to the same "
        "collector.",
    )
    follow_callers: bool = Field(
        default=True,
        description="Trace a call whose `traceparent` header says that its caller does, and not one that "
        "says it does not. Turn it off where callers are strangers: each could have all its calls traced.",
    )
    record_content: bool = Field(
        default=False,
        description="Put what is asked, as it was sent and 64 KiB of it at most, into spans. Prompts then "
        "leave the gateway, and lie where the collector keeps them.",
    )
    service_name: str = Field(
        default="lmaas-gateway",
        min_length=1,
        description="What spans are said to come from (`service.name`).",
    )
