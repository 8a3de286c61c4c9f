"""Models on machines of one's own, as sizing finds them: whether they fit, with which flags."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.sizing import Fit, Hardware, find_model, fit, serve_flags, ways_to_fit


@dataclass(frozen=True, slots=True)
class Sized:
    """What sizing found.

    Attributes:
        fits: Whether the model starts on the hardware, with a sequence of the asked length.
        reason: Why, and what would make it fit.
        gpus: Accelerators of one replica.
        engine_args: `vllm serve` arguments of a replica, without the model.
        usd_per_gpu_hour: What an accelerator costs, as the table of accelerators says.
    """

    fits: bool
    reason: str
    gpus: int
    engine_args: tuple[str, ...]
    usd_per_gpu_hour: float


def size(model: str, hardware: str, sequence_tokens: int) -> Sized:
    """Size a model for sequences of so many tokens.

    Args:
        model: A name that `lmaas size` knows, or a folder with a `config.json`.
        hardware: Such as `L4` or `H100x8`.
        sequence_tokens: Of the longest sequence, prompt and answer.

    Raises:
        SizingError: the model or the hardware is not known.
    """
    one = fit(find_model(model), Hardware.parse(hardware), sequence_tokens=sequence_tokens)
    return Sized(
        fits=one.fits,
        reason=_reason(one, sequence_tokens),
        gpus=one.engine.split.gpus,
        engine_args=tuple(serve_flags(one)[1:]),
        usd_per_gpu_hour=one.hardware.accelerator.usd_per_hour.value,
    )


def _reason(one: Fit, sequence_tokens: int) -> str:
    if one.fits:
        room = one.sequences(sequence_tokens)
        return (
            f"{one.cache_tokens:,} tokens of cache on {one.hardware}, {room} sequences of {sequence_tokens:,}"
        )
    missing = f"{one.missing_bytes / 2**30:.1f} GiB too little on each GPU of {one.hardware}"
    ways = ways_to_fit(one, sequence_tokens)
    return f"{missing}; try {ways[0]}" if ways else missing
