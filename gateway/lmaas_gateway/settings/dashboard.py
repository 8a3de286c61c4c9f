"""The pages for people, at `/ui`."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from lmaas_gateway.settings.fields import FROZEN


class DashboardSettings(BaseModel):
    """The dashboard and the playground."""

    model_config = FROZEN

    enabled: bool = Field(default=True, description="Serve the dashboard and the playground at `/ui`.")
    session_hours: float = Field(
        default=12.0,
        gt=0,
        le=720,
        description="How long a browser stays signed in. Its key's end, or revocation, ends it sooner.",
    )
    public_url: str | None = Field(
        default=None,
        description="Where browsers find the gateway if it stands behind a proxy, such as "
        "`https://llm.example.org`: writes must come from pages of that origin, and cookies are for HTTPS "
        "alone if it is. Default: the `Host` that the browser sends.",
    )

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
            message = "write it as `https://llm.example.org`, without a path"
            raise ValueError(message)
        return f"{parts.scheme}://{parts.netloc}".lower()
