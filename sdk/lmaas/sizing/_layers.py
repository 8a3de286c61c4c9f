"""Which of a model's layers keep every token, a window of tokens, or one state a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.sizing._bytes import dtype_name
from lmaas.sizing._fields import Fields
from lmaas.sizing._shape import RecurrentState

_SLIDING = frozenset({"sliding_attention", "chunked_attention", "local_attention", "local"})
_FULL = frozenset({"full_attention", "attention", "global_attention", "global"})
_PATTERNS = {"gemma3_text": 6, "gemma2": 2, "gpt_oss": 2}  # every so manieth layer is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Counts of layers by what they keep; `sliding_window` in tokens."""

    full: int
    sliding: int = 0
    sliding_window: int | None = None
    recurrent: RecurrentState | None = None

    @property
    def total(self) -> int:
        """All of them."""
        return self.full + self.sliding + (self.recurrent.num_layers if self.recurrent else 0)


def read_layers(fields: Fields, model_type: str) -> Layers:
    """Count a model's layers from its config.json.

    Raises:
        SizingError: a field is missing or makes no sense.
    """
    total = fields.whole("num_hidden_layers", "n_layer")
    kinds = fields.words("layer_types") or fields.words("layers_block_type")
    if kinds is not None:
        return _counted(fields, kinds)
    if fields.has("hybrid_override_pattern"):  # M: state, *: attention, anything else keeps nothing
        pattern = fields.text("hybrid_override_pattern", "")
        return Layers(full=pattern.count("*"), recurrent=_recurrent(fields, pattern.count("M")))
    if fields.has("full_attention_interval"):
        full = total // fields.whole("full_attention_interval")
        return Layers(full=full, recurrent=_recurrent(fields, total - full))
    return _windowed(fields, model_type, total)


def _counted(fields: Fields, kinds: list[str]) -> Layers:
    sliding = sum(kind in _SLIDING for kind in kinds)
    full = sum(kind in _FULL for kind in kinds)
    window = fields.whole("sliding_window", "attention_chunk_size") if sliding else None
    return Layers(
        full=full,
        sliding=sliding,
        sliding_window=window,
        recurrent=_recurrent(fields, len(kinds) - full - sliding),
    )


def _windowed(fields: Fields, model_type: str, total: int) -> Layers:
    if not fields.has("sliding_window") or not fields.flag("use_sliding_window", default=True):
        return Layers(full=total)
    window = fields.whole("sliding_window")
    if fields.has("max_window_layers"):  # Qwen2: layers from this one on slide
        full = min(fields.whole("max_window_layers", default=total), total)
    else:
        pattern = fields.whole("sliding_window_pattern", default=_PATTERNS.get(model_type, 0))
        full = total // pattern if pattern else 0
    return Layers(full=full, sliding=total - full, sliding_window=window if full < total else None)


def _recurrent(fields: Fields, num_layers: int) -> RecurrentState | None:
    """Size the state that a sequence leaves in a layer of gated delta-net or Mamba-2 kind.

    Source: vLLM 0.32, model_executor/layers/mamba/mamba_utils.py (state shapes).
    """
    if num_layers <= 0:
        return None
    if fields.has("linear_num_value_heads"):
        values = fields.whole("linear_num_value_heads") * fields.whole("linear_value_head_dim")
        keys = fields.whole("linear_num_key_heads") * fields.whole("linear_key_head_dim")
        channels, state = values + 2 * keys, values * fields.whole("linear_key_head_dim")
        kernel = fields.whole("linear_conv_kernel_dim", default=4)
    else:
        size = fields.whole("mamba_d_state", "ssm_state_size")
        inner = fields.whole("mamba_n_heads", "mamba_num_heads") * fields.whole(
            "mamba_d_head", "mamba_head_dim"
        )
        channels, state = (
            inner + 2 * size * fields.whole("mamba_n_groups", "n_groups", default=1),
            inner * size,
        )
        kernel = fields.whole("mamba_d_conv", "conv_kernel", default=4)
    return RecurrentState(
        num_layers=num_layers,
        conv_numbers=channels * (kernel - 1),
        state_numbers=state,
        state_dtype=dtype_name(fields.text("mamba_ssm_dtype", "float32")),
    )
