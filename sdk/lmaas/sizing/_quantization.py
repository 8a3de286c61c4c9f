"""How a checkpoint's linear weights are stored: bits a weight, and the scales beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmaas.sizing._errors import SizingError
from lmaas.sizing._fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Storage of quantised weights.

    Attributes:
        name: Such as "fp8", "int8", "int4" or "mxfp4".
        bits: Of one weight.
        group_size: Weights that share a scale (and a zero point); 0: so many that scales do not count.
        scale_bits: Of one scale with its zero point, if there is one.
        block: Rows and columns that a shard must be a multiple of; 0: any.
        experts_only: Whether only the experts are quantised.
        expert_padding: What vLLM pads an expert's width and the hidden size to, for its kernels.
        at_load: Whether vLLM makes it of full weights while it loads them (`--quantization`).
    """

    name: str
    bits: int
    group_size: int = 0
    scale_bits: int = 16
    block: int = 0
    experts_only: bool = False
    expert_padding: tuple[int, int] = (1, 1)
    at_load: bool = False

    @property
    def bytes_per_weight(self) -> float:
        """Bytes of a weight with its share of scales.

        Source: parameters x bits / 8 + scales; group layouts of AWQ (arXiv:2306.00978 section 5), GPTQ
        checkpoints, and the OCP Microscaling formats (MXFP4: 32 weights share 8 bits of scale).
        """
        return (self.bits + (self.scale_bits / self.group_size if self.group_size else 0)) / 8


BY_NAME = {
    # What vLLM does to full weights while it loads them: one scale a tensor.
    "fp8": Quantization(name="fp8", bits=8, at_load=True),
    # Checkpoints to look for, as they are usually made.
    "int8": Quantization(name="int8", bits=8),
    "int4": Quantization(name="int4", bits=4, group_size=128, scale_bits=16 + 4),
}


def quantization(name: str) -> Quantization:
    """Find a usual way by name.

    Raises:
        SizingError: it is none of fp8, int8 and int4.
    """
    if name not in BY_NAME:
        raise SizingError(f"quantization {name!r} is not known; give one of {', '.join(BY_NAME)}")
    return BY_NAME[name]


def read_quantization(config: Mapping[str, Any]) -> Quantization | None:
    """Read the `quantization_config` of a config.json; None if there is none.

    Raises:
        SizingError: its method is not known here.
    """
    if not config.get("quantization_config"):
        return None
    stored = Fields(config, "config.json").part("quantization_config")
    method = stored.text("quant_method", stored.text("quant_algo", "without a name")).lower()
    reader = _READERS.get(method)
    if reader is None:
        raise SizingError(
            f"quantization method {method!r} is not known; known are {', '.join(_READERS)}. "
            "Give the folder of the weights instead: their sizes are read exactly"
        )
    return reader(stored)


def _fp8(fields: Fields) -> Quantization:
    block = fields.sizes("weight_block_size")
    if not block:
        return Quantization(name="fp8", bits=8)
    return Quantization(name="fp8", bits=8, group_size=block[0] * block[-1], scale_bits=32, block=block[0])


def _grouped(fields: Fields) -> Quantization:
    bits, group = fields.whole("bits", "w_bit", default=4), fields.group("group_size", "q_group_size")
    return Quantization(name=f"int{bits}", bits=bits, group_size=group, scale_bits=16 + bits, block=group)


def _compressed_tensors(fields: Fields) -> Quantization:
    weights = fields.first("config_groups").part("weights")
    bits, is_float = weights.whole("num_bits", default=8), weights.text("type", "int") == "float"
    strategy = weights.text("strategy", "")
    group = weights.group("group_size") if strategy in {"group", "tensor_group"} else 0
    scale_bits = 8 if strategy == "tensor_group" else 16  # NVFP4's scales are fp8, and one a tensor
    name = f"{'fp' if is_float else 'int'}{bits}"
    return Quantization(name=name, bits=bits, group_size=group, scale_bits=scale_bits, block=group)


def _bitsandbytes(fields: Fields) -> Quantization:
    if fields.flag("load_in_8bit"):
        return Quantization(name="int8", bits=8)
    return Quantization(name="int4", bits=4, group_size=64, scale_bits=32)


def _mxfp4(fields: Fields) -> Quantization:  # noqa: ARG001 - one signature for all readers
    return Quantization(
        name="mxfp4", bits=4, group_size=32, scale_bits=8, experts_only=True, expert_padding=(64, 256)
    )


def _modelopt(fields: Fields) -> Quantization:
    if "4" in fields.text("quant_algo", ""):
        return Quantization(name="nvfp4", bits=4, group_size=16, scale_bits=8, block=16)
    return Quantization(name="fp8", bits=8)


_READERS: dict[str, Callable[[Fields], Quantization]] = {
    "fp8": _fp8,
    "awq": _grouped,
    "gptq": _grouped,
    "compressed-tensors": _compressed_tensors,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
    "modelopt": _modelopt,
    "nvfp4": _modelopt,
}
