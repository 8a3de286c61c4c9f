"""Does a model fit: weights, runtime and cache on each GPU, and what is left for sequences."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.evidence import Evidence, Grade
from lmaas.sizing._accelerators import Hardware
from lmaas.sizing._bytes import GIB
from lmaas.sizing._errors import SizingError
from lmaas.sizing._kv_cache import CacheLayout, cache_layout, kv_bytes_per_token
from lmaas.sizing._models import Model
from lmaas.sizing._runtime import Runtime, runtime_bytes
from lmaas.sizing._settings import Engine, EngineSettings, resolve
from lmaas.sizing._split import Split, check_split, gpu_weight_bytes, tensor_sizes

_FORMULA = "lmaas.sizing: budget - weights - runtime, in blocks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One GPU of a pipeline stage; all GPUs of a stage are alike.

    Attributes:
        weights_bytes: Of the model, on this GPU.
        runtime: What it needs beside weights and cache.
        cache_bytes: What is left for the cache; negative where the rest is too much.
        layout: How the cache is laid out.
    """

    weights_bytes: int
    runtime: Runtime
    cache_bytes: int
    layout: CacheLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A model on hardware.

    Attributes:
        model: What is served.
        hardware: On what.
        settings: As asked for.
        engine: As vLLM would run it.
        budget_bytes: What vLLM may fill of one GPU.
        stages: One GPU of each pipeline stage.
        fits: Whether it starts, with one sequence of `max_model_len` tokens at least.
        max_model_len: Of one sequence; 0 where not even one token fits.
        missing_bytes: What is missing on a GPU to fit; negative: what is left once one sequence is in.
    """

    model: Model
    hardware: Hardware
    settings: EngineSettings
    engine: Engine
    budget_bytes: int
    stages: tuple[Stage, ...]
    fits: bool
    max_model_len: int
    missing_bytes: int

    @property
    def tightest(self) -> Stage:
        """The stage with the least room, which decides for all."""
        return min(self.stages, key=_room)

    @property
    def replicas(self) -> int:
        """How many copies the hardware holds."""
        return self.hardware.count // self.engine.split.gpus

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that a token leaves on one GPU; of all layers, were they in one stage."""
        return kv_bytes_per_token(
            self.model.shape,
            kv_cache_dtype=self.engine.kv_cache_dtype,
            dtype=self.engine.dtype,
            tensor_parallel_size=self.engine.split.tensor,
        )

    @property
    def cache_tokens(self) -> int:
        """Tokens of cache of one copy, as vLLM's log would count them; 0 for encoders, which keep none."""
        return self._tokens(0)

    @property
    def reason(self) -> str:
        """Why it fits or does not, in words, and by how much."""
        amount = f"{abs(self.missing_bytes) / GIB:.2f} GiB a GPU"
        if self.fits:
            return f"fits {self.hardware}, with {amount} to spare beside one sequence"
        return f"does not fit {self.hardware}: {amount} too little"

    def sequences(self, tokens: int) -> int:
        """Return how many sequences of so many tokens, prompt and answer, one copy works on at once.

        Source: tokens of cache / tokens of a sequence, by blocks, and at most `max_num_seqs`.
        """
        if not self.fits:
            return 0
        if not self.model.shape.keeps_cache:
            return self.engine.max_num_seqs
        room = min(int(stage.layout.sequences(stage.cache_bytes, tokens)) for stage in self.stages)
        return min(room, self.engine.max_num_seqs)

    def evidence(self) -> Evidence:
        """Return the tokens of cache, of grade D, with the interval that the runtime's estimate leaves."""
        return Evidence(
            metric="kv_cache_tokens",
            value=self.cache_tokens,
            low=min(self._tokens(self._doubt_bytes()), self.cache_tokens),
            high=max(self._tokens(-self._doubt_bytes()), self.cache_tokens),
            unit="tokens",
            grade=Grade.D,
            source=_FORMULA,
        )

    def _tokens(self, taken_bytes: int) -> int:
        if not self.max_model_len or not self.model.shape.keeps_cache:
            return 0
        return min(s.layout.tokens(s.cache_bytes - taken_bytes, self.max_model_len) for s in self.stages)

    def _doubt_bytes(self) -> int:
        """By how much the runtime's estimate may be wrong: as its parts were in the logs it was fitted to."""
        runtime = self.tightest.runtime
        return round(0.15 * runtime.activations + 0.6 * runtime.cuda_graphs + 0.2 * runtime.outside)


def fit(
    model: Model,
    hardware: Hardware,
    settings: EngineSettings | None = None,
    *,
    sequence_tokens: int = 1,
) -> Fit:
    """Work out whether a model fits, and what room it leaves.

    budget = memory x gpu_memory_utilization; cache = budget - weights - runtime, on the tightest GPU.

    Args:
        model: What is to be served.
        hardware: GPUs of one machine.
        settings: Arguments of `vllm serve`; where the tensor-parallel size is open, the fewest GPUs that do.
        sequence_tokens: Tokens of prompt and answer that must fit, where `max_model_len` is open.

    Raises:
        SizingError: the split does not divide the model or the hardware, or a length is beyond the model.

    Source: vLLM 0.32, v1/worker/gpu_worker.py: determine_available_memory.
    """
    settings = settings or EngineSettings()
    _check_length(model, settings, sequence_tokens)
    options = _splits(model, hardware, settings)
    tried = [_fit_split(model, hardware, settings, split, sequence_tokens) for split in options]
    return next((one for one in tried if one.fits), tried[-1])


def _check_length(model: Model, settings: EngineSettings, sequence_tokens: int) -> None:
    longest = model.shape.max_model_len
    for tokens, what in (
        (settings.max_model_len or 1, "--max-model-len"),
        (sequence_tokens, "a sequence of"),
    ):
        if tokens < 1:
            raise SizingError(f"{what} {tokens} tokens: give 1 or more")
        if tokens > longest:
            raise SizingError(f"{what} {tokens}: the model was made for at most {longest} tokens")


def _splits(model: Model, hardware: Hardware, settings: EngineSettings) -> list[Split]:
    pipeline = settings.pipeline_parallel_size
    if settings.tensor_parallel_size is not None:
        split = Split(settings.tensor_parallel_size, pipeline)
        check_split(model.shape, split)
        if split.gpus > hardware.count:
            raise SizingError(
                f"tensor x pipeline parallel size is {split.gpus}, and {hardware} has {hardware.count}"
            )
        return [split]
    check_split(model.shape, Split(1, pipeline))
    if pipeline > hardware.count:
        raise SizingError(f"--pipeline-parallel-size {pipeline}: {hardware} has {hardware.count}")
    return [Split(size, pipeline) for size in tensor_sizes(model.shape, hardware.count // pipeline)]


def _fit_split(
    model: Model, hardware: Hardware, settings: EngineSettings, split: Split, sequence_tokens: int
) -> Fit:
    engine = resolve(settings, model.shape, hardware.accelerator, split)
    budget = int(hardware.accelerator.memory_bytes * engine.gpu_memory_utilization)
    stages = tuple(_stage(model, hardware, engine, budget, number) for number in range(split.pipeline))
    needed = settings.max_model_len or sequence_tokens
    longest = min(_longest(model, stage) for stage in stages)
    fits = min(stage.cache_bytes for stage in stages) >= 0 and longest >= needed
    return Fit(
        model=model,
        hardware=hardware,
        settings=settings,
        engine=engine,
        budget_bytes=budget,
        stages=stages,
        fits=fits,
        max_model_len=settings.max_model_len or longest,
        missing_bytes=max(_needed(stage, needed) - stage.cache_bytes for stage in stages),
    )


def _stage(model: Model, hardware: Hardware, engine: Engine, budget: int, number: int) -> Stage:
    weights = gpu_weight_bytes(model, engine.dtype, engine.split, number)
    runtime = runtime_bytes(model.shape, engine, hardware.accelerator, number)
    return Stage(
        weights_bytes=weights,
        runtime=runtime,
        cache_bytes=budget - weights - runtime.total,
        layout=cache_layout(
            model.shape,
            engine.split,
            stage=number,
            dtype=engine.dtype,
            kv_cache_dtype=engine.kv_cache_dtype,
            block_size=engine.block_size,
            max_num_batched_tokens=engine.max_num_batched_tokens,
        ),
    )


def _longest(model: Model, stage: Stage) -> int:
    limit = model.shape.max_model_len
    return stage.layout.longest(stage.cache_bytes, limit) if model.shape.keeps_cache else limit


def _needed(stage: Stage, tokens: int) -> int:
    return stage.layout.sequence_blocks(tokens) * stage.layout.block_bytes


def _room(stage: Stage) -> float:
    return stage.cache_bytes / stage.layout.block_bytes if stage.layout.block_bytes else stage.cache_bytes
