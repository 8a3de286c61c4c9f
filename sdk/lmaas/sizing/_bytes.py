"""Sizes of stored numbers, and of what is made of them."""

from __future__ import annotations

from lmaas.sizing._errors import SizingError

GIB = 2**30

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_KV_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, **_BYTES}
_SHORT_NAMES = {"half": "float16", "float": "float32"}


def dtype_name(name: str) -> str:
    """Return the full name of a dtype that vLLM knows by several, such as "half" or "torch.bfloat16"."""
    name = name.removeprefix("torch.")
    return _SHORT_NAMES.get(name, name)


def dtype_bytes(name: str) -> int:
    """Return the bytes of one number of a model's dtype.

    Raises:
        SizingError: vLLM serves no model in it.
    """
    if name not in _BYTES:
        raise SizingError(f"dtype {name!r} is not known; give one of {', '.join(_BYTES)}")
    return _BYTES[name]


def kv_dtype_bytes(kv_cache_dtype: str, dtype: str) -> int:
    """Return the bytes of one number in the KV cache; "auto" is the model's own dtype.

    Raises:
        SizingError: the dtype is not known here.
    """
    name = dtype if kv_cache_dtype == "auto" else kv_cache_dtype
    if name not in _KV_BYTES:
        raise SizingError(f"KV cache dtype {name!r} is not known; give auto or one of {', '.join(_KV_BYTES)}")
    return _KV_BYTES[name]


def ceil_div(amount: int, part: int) -> int:
    """Return how many parts hold an amount."""
    return -(-amount // part)
