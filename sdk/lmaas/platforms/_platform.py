"""A platform: a place that serves models, and what is known of it. Each fact says where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from lmaas.platforms._sourced import Sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How calls say who they are from.

    Attributes:
        kind: `bearer` is `Authorization: Bearer KEY`, `header` another header, `none` no key at all.
        header: The header of kind `header`.
        env: The environment variable in which the platform's own documentation keeps the key.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: Literal["bearer", "header", "none"]
    header: str | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What a new paying account may send; None is not known.

    Attributes:
        note: What the numbers depend on, such as the account's tier.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    concurrent_requests: Annotated[int, Field(ge=1)] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What becomes of prompts and answers; None is not known.

    Attributes:
        days: How long they are kept by default; 0 is not at all.
        trains_on_data: Whether models are trained on them by default.
        zero_retention: Whether one can have them not kept at all.
        note: Conditions.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    days: Annotated[int, Field(ge=0)] | None = None
    trains_on_data: bool | None = None
    zero_retention: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A place that serves models. What nobody has told is None.

    Attributes:
        id: Its name in commands and files.
        name: Its name for people.
        is_self_hosted: Whether it runs on machines of one's own, so that its calls have no list price.
        base_url: Where calls go; `{…}` in it stands for something of the account's.
        auth: How calls say who they are from.
        routes: Routes of the OpenAI API below the base URL, such as `chat/completions`.
        tools: Whether chat completions can call tools.
        json_schema: Whether `response_format` of type `json_schema` holds the model to a schema.
        logprobs: Whether log-probabilities of tokens come back.
        stream_usage: Whether `stream_options.include_usage` has a stream end with its usage.
        prompt_cache: Whether repeated prefixes are cached, and told of or cheaper.
        batches: Whether there is an asynchronous batch API.
        rate_limits: What a new account may send.
        regions: Where calls can be kept.
        retention: What becomes of prompts and answers.
        docs_url: The documentation of its API.
        genai_prices: Its name in genai-prices, where its prices come from.
        models_dev: Its name at models.dev, where facts about its models come from.
    """

    id: str
    name: str
    is_self_hosted: bool = False
    base_url: Sourced[str] | None = None
    auth: Sourced[Auth] | None = None
    routes: Sourced[tuple[str, ...]] | None = None
    tools: Sourced[bool] | None = None
    json_schema: Sourced[bool] | None = None
    logprobs: Sourced[bool] | None = None
    stream_usage: Sourced[bool] | None = None
    prompt_cache: Sourced[bool] | None = None
    batches: Sourced[bool] | None = None
    rate_limits: Sourced[RateLimits] | None = None
    regions: Sourced[tuple[str, ...]] | None = None
    retention: Sourced[Retention] | None = None
    docs_url: str | None = None
    genai_prices: str | None = None
    models_dev: str | None = None
