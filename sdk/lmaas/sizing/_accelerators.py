"""Accelerators as data, and machines made of them: `Hardware.parse("H100x8")`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from lmaas.evidence import Evidence, Grade
from lmaas.sizing._bytes import GIB
from lmaas.sizing._errors import SizingError

_BEFORE = re.compile(r"(?P<count>\d{1,9})\s*[x\u00d7*]\s*(?P<name>.+)")
_AFTER = re.compile(r"(?P<name>.+?)\s*[x\u00d7*]\s*(?P<count>\d{1,9})")
_MOST_ACCELERATORS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One kind of accelerator.

    Attributes:
        name: As `Hardware.parse` knows it.
        memory_bytes: What the driver leaves to a process, as vLLM's log calls it total_gpu_memory.
        memory_bandwidth_bytes_per_s: From its memory, by its data sheet.
        half_flops: Dense bfloat16 operations a second, float16 where it has no bfloat16.
        fp8_flops: Dense fp8 operations a second; None where it computes fp8 weights in bfloat16.
        has_bfloat16: Whether it computes in bfloat16.
        interconnect: What joins several in one machine.
        interconnect_bytes_per_s: Both directions together.
        usd_per_hour: A published on-demand price: a claim (grade C), to override with your own.
        source: Of the data sheet's figures.
        memory_source: Of `memory_bytes`.
        as_of: When the data sheet's figures were read.
    """

    name: str
    memory_bytes: int
    memory_bandwidth_bytes_per_s: float
    half_flops: float
    fp8_flops: float | None
    has_bfloat16: bool
    interconnect: str
    interconnect_bytes_per_s: float
    usd_per_hour: Evidence
    source: str
    memory_source: str
    as_of: date


@dataclass(frozen=True, slots=True)
class Hardware:
    """Accelerators of one kind in one machine.

    Raises:
        SizingError: the count is not from 1 to 4096.
    """

    accelerator: Accelerator
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST_ACCELERATORS:
            raise SizingError(f"a machine has 1 to {_MOST_ACCELERATORS} accelerators, not {self.count}")

    @classmethod
    def parse(cls, text: str) -> Hardware:
        """Read "H100x8", "8xH100" or "L4"; case does not matter.

        Raises:
            SizingError: no accelerator of that name is known; the message lists those that are.
        """
        text = text.strip()
        if _row(text) is not None:  # some names look like another's count: rtx4090
            return cls(accelerator(text))
        for form in (_BEFORE, _AFTER):
            found = form.fullmatch(text)
            if found and _row(found["name"]) is not None:
                return cls(accelerator(found["name"]), int(found["count"]))
        return cls(accelerator(text))

    def with_price(self, usd_per_hour: float, source: str = "given") -> Hardware:
        """Return the same hardware at another price of one accelerator, in US dollars an hour."""
        claim = Evidence(
            metric="usd_per_gpu_hour", value=usd_per_hour, unit="usd", grade=Grade.C, source=source
        )
        return replace(self, accelerator=replace(self.accelerator, usd_per_hour=claim))

    def __str__(self) -> str:
        return self.accelerator.name if self.count == 1 else f"{self.accelerator.name}x{self.count}"


def accelerators() -> tuple[Accelerator, ...]:
    """Return all that are known, as `data/accelerators.json` has them."""
    return tuple(_make(row) for row in _rows())


def accelerator(name: str) -> Accelerator:
    """Find one by its name or an alias; case does not matter.

    Raises:
        SizingError: there is none; the message lists the names.
    """
    row = _row(name)
    if row is None:
        known = ", ".join(row["name"] for row in _rows())
        raise SizingError(f"accelerator {name!r} is not known; write it as H100x8; known are {known}")
    return _make(row)


def _row(name: str) -> dict[str, Any] | None:
    wanted = name.strip().casefold()
    for row in _rows():
        if wanted in {known.casefold() for known in (row["name"], *row["aliases"])}:
            return row
    return None


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    text = (files("lmaas.sizing") / "data" / "accelerators.json").read_text("utf-8")
    return tuple(json.loads(text)["accelerators"])


def _make(row: dict[str, Any]) -> Accelerator:
    fp8 = row["fp8_tflops"]
    return Accelerator(
        name=row["name"],
        memory_bytes=int(row["memory_gib"] * GIB),
        memory_bandwidth_bytes_per_s=row["memory_bandwidth_gb_per_s"] * 1e9,
        half_flops=(row["bf16_tflops"] or row["fp16_tflops"]) * 1e12,
        fp8_flops=None if fp8 is None else fp8 * 1e12,
        has_bfloat16=row["bf16_tflops"] is not None,
        interconnect=row["interconnect"],
        interconnect_bytes_per_s=row["interconnect_gb_per_s"] * 1e9,
        usd_per_hour=_price(row),
        source=row["source"],
        memory_source=row["memory_source"],
        as_of=date.fromisoformat(row["as_of"]),
    )


def _price(row: dict[str, Any]) -> Evidence:
    return Evidence(
        metric="usd_per_gpu_hour",
        value=row["usd_per_hour"],
        unit="usd",
        grade=Grade.C,
        source=row["price_source"],
        as_of=date.fromisoformat(row["price_as_of"]),
    )
