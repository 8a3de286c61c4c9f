"""How fast a model could be, from bandwidths and operation rates: a roofline, not a measurement.

The figures are evidence of grade D with wide intervals, for ruling out what cannot be and for the first guess
of a cost. `lmaas bench` measures.

Source: roofline: Williams et al., "Roofline", CACM 52(4), 2009; applied to transformers: Pope et al.,
"Efficiently Scaling Transformer Inference", arXiv:2211.05102 sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lmaas.evidence import Evidence, Grade
from lmaas.sizing._bytes import kv_dtype_bytes
from lmaas.sizing._errors import SizingError
from lmaas.sizing._fit import Fit
from lmaas.sizing._kv_cache import layer_bytes_per_token
from lmaas.sizing._split import active_parameters, weight_bytes

_SOURCE = "lmaas.sizing: roofline of memory bandwidth and operation rate"
_MOST_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class _Efficiency:
    """Shares of a data sheet's rates that kernels reach."""

    memory: float
    compute: float


_USUAL = _Efficiency(memory=0.7, compute=0.5)
_BEST = _Efficiency(memory=0.9, compute=0.75)
_WORST = _Efficiency(memory=0.4, compute=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Estimates for one copy; each is evidence with the interval that good and bad kernels span.

    Attributes:
        together: Sequences at a time that the estimates assume.
        ttft: Seconds to the first token of a prompt that waits for nothing.
        itl: Seconds from token to token.
        e2e: Seconds to the end of the answer.
        output_tokens_per_s: Of one stream.
        requests_per_s: Of the copy, while it always has `together` sequences.
        has_answer: Whether there is an answer of tokens.
    """

    together: int
    ttft: Evidence
    itl: Evidence
    e2e: Evidence
    output_tokens_per_s: Evidence
    requests_per_s: Evidence
    has_answer: bool = True

    def evidence(self) -> tuple[Evidence, ...]:
        """Return all of them; of what answers with a vector, those that do not count its tokens."""
        if not self.has_answer:
            return self.e2e, self.requests_per_s
        return self.ttft, self.itl, self.e2e, self.output_tokens_per_s, self.requests_per_s


def estimate_speed(one: Fit, *, prompt_tokens: int, output_tokens: int, together: int | None = None) -> Speed:
    """Estimate the speed of one copy.

    Args:
        one: What was found to fit.
        prompt_tokens: Of a usual request.
        output_tokens: Of its answer; 0 for models that pool.
        together: Sequences at a time; None: as many as the cache holds, and at most 256.

    Raises:
        SizingError: it does not fit, or the tokens are not counts.
    """
    if not one.fits:
        raise SizingError("what does not fit has no speed")
    if prompt_tokens < 1 or output_tokens < 0 or (together is not None and together < 1):
        raise SizingError("prompt_tokens and together must be 1 or more, and output_tokens 0 or more")
    room = max(one.sequences(prompt_tokens + output_tokens), 1)
    batch = min(together or _MOST_TOGETHER, room)
    context = prompt_tokens + output_tokens // 2

    def ttft(efficiency: _Efficiency) -> float:
        return prefill_s(one, prompt_tokens, efficiency)

    def itl(efficiency: _Efficiency) -> float:
        return decode_step_s(one, batch, context, efficiency)

    def e2e(efficiency: _Efficiency) -> float:
        return ttft(efficiency) + max(output_tokens - 1, 0) * itl(efficiency)

    def rate(efficiency: _Efficiency) -> float:
        return 1 / (ttft(efficiency) + max(output_tokens - 1, 0) * itl(efficiency) / batch)

    return Speed(
        together=batch,
        ttft=_estimate("ttft_p50_s", "s", ttft),
        itl=_estimate("itl_p50_s", "s", itl),
        e2e=_estimate("e2e_p50_s", "s", e2e),
        output_tokens_per_s=_estimate("output_tokens_per_s", "1/s", lambda efficiency: 1 / itl(efficiency)),
        requests_per_s=_estimate("goodput_per_s", "1/s", rate),
        has_answer=output_tokens > 0,
    )


def decode_step_s(one: Fit, batch: int, context: int, efficiency: _Efficiency = _USUAL) -> float:
    """Estimate a step that gives each of `batch` sequences one token.

    The larger of: (weights in use + cache read) / bandwidth, and 2 x parameters x batch / operation rate;
    and, between GPUs, two all-reduces a layer.

    Source: arXiv:2211.05102 section 2.1, of the roofline's two sides.
    """
    accelerator, split = one.hardware.accelerator, one.engine.split
    parameters = active_parameters(one.model.shape, one.model.parameters, batch)
    share = parameters / one.model.parameters.total
    read = weight_bytes(one.model, one.engine.dtype) * share / split.tensor + batch * _cache_read(
        one, context
    )
    per_token = active_parameters(one.model.shape, one.model.parameters)
    memory_s = read / (accelerator.memory_bandwidth_bytes_per_s * efficiency.memory)
    compute_s = 2 * per_token * batch / (_flops(one) * split.tensor * efficiency.compute)
    return max(memory_s, compute_s) + _exchange_s(one, batch)


def prefill_s(one: Fit, prompt_tokens: int, efficiency: _Efficiency = _USUAL) -> float:
    """Estimate reading a prompt alone: 2 x parameters x tokens + attention, or one reading of the weights.

    Attention between all pairs: 2 x layers x queries' width x tokens^2, causally halved.

    Source: arXiv:2211.05102 section 2.1; attention's operations as in PaLM, arXiv:2204.02311 appendix B.
    """
    shape, split = one.model.shape, one.engine.split
    attention = 2 * shape.full_layers * shape.num_heads * shape.head_dim * prompt_tokens**2
    operations = 2 * active_parameters(shape, one.model.parameters) * prompt_tokens + attention
    compute_s = operations / (_flops(one) * split.tensor * efficiency.compute)
    bandwidth = one.hardware.accelerator.memory_bandwidth_bytes_per_s * efficiency.memory
    memory_s = weight_bytes(one.model, one.engine.dtype) / split.tensor / bandwidth
    return max(compute_s, memory_s) + _exchange_s(one, prompt_tokens)


def _flops(one: Fit) -> float:
    accelerator, quantization = one.hardware.accelerator, one.model.shape.quantization
    if quantization is not None and quantization.name == "fp8" and accelerator.fp8_flops is not None:
        return accelerator.fp8_flops
    return accelerator.half_flops


def _cache_read(one: Fit, context: int) -> float:
    """Return the bytes that one sequence's attention reads on one GPU."""
    shape = one.model.shape
    if not shape.keeps_cache:
        return 0.0
    number_bytes = kv_dtype_bytes(one.engine.kv_cache_dtype, one.engine.dtype)
    kept = shape.full_layers * context + shape.sliding_layers * min(context, shape.sliding_window or 0)
    return kept * layer_bytes_per_token(shape, number_bytes, one.engine.split.tensor)


def _exchange_s(one: Fit, tokens: int) -> float:
    """Estimate all-reduces: twice a layer, each sends 2 (n - 1) / n of the hidden states, and waits.

    Source: ring all-reduce, Patarasuk and Yuan, J. Parallel Distrib. Comput. 69(2), 2009.
    """
    size, accelerator = one.engine.split.tensor, one.hardware.accelerator
    if size == 1:
        return 0.0
    sent = 2 * (size - 1) / size * tokens * one.model.shape.hidden_size * 2
    wait_s = 30e-6 if accelerator.interconnect == "PCIe" else 10e-6
    one_way = accelerator.interconnect_bytes_per_s / 2
    return 2 * one.model.shape.num_layers * (sent / one_way + wait_s)


def _estimate(metric: str, unit: str, formula: Callable[[_Efficiency], float]) -> Evidence:
    values = [formula(efficiency) for efficiency in (_USUAL, _BEST, _WORST)]
    return Evidence(
        metric=metric,
        value=values[0],
        low=min(values),
        high=max(values),
        unit=unit,
        grade=Grade.D,
        source=_SOURCE,
    )
