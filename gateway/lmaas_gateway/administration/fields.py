"""What the fields of requests have in common: their types and bounds."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

Kind: TypeAlias = Literal["person", "service"]
Role: TypeAlias = Literal["owner", "admin", "developer", "viewer"]
Priority: TypeAlias = Literal["high", "normal", "low"]
SubjectKind: TypeAlias = Literal["organization", "project", "key", "member", "model"]
Metric: TypeAlias = Literal["requests", "tokens", "calls_in_flight", "tokens_in_flight", "money"]
Period: TypeAlias = Literal["minute", "day", "month", "none"]
Grouping: TypeAlias = Literal["organization", "project", "key", "model", "day"]

# No control characters: names stand in tables on terminals and in logs. Python's `$` also stands before a
# last newline, which is one.
Name: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)",
        description="A name for people.",
    ),
]
Id: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$(?!\n)", description="The id of an object."),
]
ActionName: TypeAlias = Annotated[
    str, Meta(max_length=64, pattern=r"^[a-z_.-]+$(?!\n)", description="As in `keys.create`.")
]
Glob: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00-\x20\x7f-\x9f]+$(?!\n)",
        description="A name, or a pattern with `*`, `?` and `[…]`.",
    ),
]
SubjectId: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x20\x7f-\x9f]+$(?!\n)",
        description="The id of a project, key or member, or the name of a model.",
    ),
]
RoutePattern: TypeAlias = Annotated[
    str,
    Meta(max_length=128, pattern=r"^/[A-Za-z0-9/_*.-]*$(?!\n)", description="A path, or a pattern with `*`."),
]
Address: TypeAlias = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=49,
        pattern=r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$(?!\n)",
        description="An address or a network, such as `10.0.0.0/8`.",
    ),
]
Subject: TypeAlias = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=512,
        pattern=r"^[^\x00-\x20\x7f-\x9f|]+\|[^\x00-\x1f\x7f-\x9f|]+$(?!\n)",
        description="Who signs in: the issuer of the token, `|`, and its `sub`.",
    ),
]
Weight: TypeAlias = Annotated[
    float, Meta(ge=0.01, le=1000, description="Its part of a pool, relative to others', when calls wait.")
]
Time: TypeAlias = Annotated[int, Meta(ge=0, le=253402300799, description="Unix seconds.")]
Amount: TypeAlias = Annotated[
    int,
    Meta(
        ge=0,
        le=2**62,
        description="How much, in whole numbers of the metric; money in billionths of a US dollar.",
    ),
]
Lifetime: TypeAlias = Annotated[int, Meta(ge=1, le=3650, description="Days from now.")]
Overlap: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=30 * 86400, description="Seconds for which the old secret stays valid beside the new one."),
]
Patterns: TypeAlias = Annotated[tuple[Glob, ...], Meta(max_length=64)]
RoutePatterns: TypeAlias = Annotated[tuple[RoutePattern, ...], Meta(max_length=64)]
Addresses: TypeAlias = Annotated[tuple[Address, ...], Meta(max_length=64)]
