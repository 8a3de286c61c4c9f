"""What one subject, a key or a model, may use."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from lmaas_gateway.settings.fields import FROZEN

_Count = Annotated[int, Field(ge=0, le=10**15)]
_Dollars = Annotated[Decimal, Field(ge=0, le=10**6)]


class QuotaSettings(BaseModel):
    """Limits of one subject; what is left out is not limited."""

    model_config = FROZEN

    requests_per_minute: _Count | None = Field(
        default=None, description="Calls within any 60 seconds, whatever becomes of them."
    )
    requests_per_day: _Count | None = Field(default=None, description="Calls within a day of UTC.")
    tokens_per_minute: _Count | None = Field(
        default=None, description="Tokens, prompt and completion, within any 60 seconds."
    )
    tokens_per_day: _Count | None = Field(default=None, description="Tokens within a day of UTC.")
    calls_in_flight: _Count | None = Field(default=None, description="Calls at once.")
    tokens_in_flight: _Count | None = Field(
        default=None, description="Tokens of the calls that are under way, as they are reserved."
    )
    dollars_per_day: _Dollars | None = Field(default=None, description="US dollars within a day of UTC.")
    dollars_per_month: _Dollars | None = Field(
        default=None, description="US dollars within a calendar month of UTC."
    )
