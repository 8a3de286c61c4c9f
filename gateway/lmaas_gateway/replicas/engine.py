"""The command line and environment of one vLLM process: plain functions of the settings, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmaas_gateway.replicas.catalog import PreparedModel
    from lmaas_gateway.settings import EngineSettings, ModelSettings

Device = Literal["cpu", "gpu"]

_ENTRY_POINT = "vllm.entrypoints.launchers.api_server.entry"
_NO_STATS = "--disable-log-stats"
"""What `vllm serve` runs; the command itself does not start where the CPU build is installed."""

_DEFAULT_CPU_KV_CACHE_BYTES = 2**30
"""Without a bound the CPU build takes nine tenths of the machine's memory, for each replica."""

_GPU_MEMORY_SHARE = 0.9
_PARALLEL_FLAGS = (
    "--tensor-parallel-size",
    "-tp",
    "--pipeline-parallel-size",
    "-pp",
    "--data-parallel-size",
    "-dp",
)
_DROPPED_VARIABLES = frozenset(
    {
        "VLLM_CPU_KVCACHE_SPACE",  # overrides --kv-cache-memory-bytes, and crashes the engine when empty
        "VLLM_API_KEY",  # the socket is private; a key would only lock the gateway out
    }
)


@dataclass(frozen=True, slots=True)
class Share:
    """A replica's part of the machine.

    Attributes:
        omp_threads: Threads that compute, on a CPU.
        gpu: Which GPU is its own; None leaves the choice to vLLM.
        gpu_memory_utilization: Part of that GPU's memory, 0 to 1; None leaves vLLM's default.
    """

    omp_threads: int = 1
    gpu: str | None = None
    gpu_memory_utilization: float | None = None


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that the command of one replica is made of.

    Attributes:
        traces_endpoint: Where it sends spans of traced calls, by OTLP over HTTP; None for nowhere.
    """

    model: ModelSettings
    prepared: PreparedModel
    engine: EngineSettings
    python: str
    device: Device
    socket_path: Path
    share: Share = Share()
    traces_endpoint: str | None = None


def command(spec: EngineSpec) -> tuple[str, ...]:
    """Build the command that serves `spec.model` on a unix socket.

    The model's own `engine_args` come last, so that they win.
    """
    return (
        *(spec.python, "-m", _ENTRY_POINT),
        *("--model", spec.prepared.path_or_id, "--served-model-name", spec.model.name),
        *("--uds", str(spec.socket_path)),
        *_kind_args(spec),
        *(cpu_args(spec) if spec.device == "cpu" else gpu_args(spec)),
        *("--max-num-queued-reqs", str(spec.engine.max_num_queued_reqs)),
        *("--shutdown-timeout", str(spec.engine.shutdown_timeout_s)),
        *("--enable-prompt-tokens-details", "--enable-server-load-tracking", "--enable-request-id-headers"),
        # How long each call waited, was read and was written; without statistics vLLM does not start so.
        *(() if _NO_STATS in spec.model.engine_args else ("--enable-per-request-metrics",)),
        *_traces_args(spec),
        "--disable-uvicorn-access-log",
        # Media comes as data (`policy/media.py`). An empty list would allow every domain, this one is none.
        *("--allowed-media-domains", "media.invalid"),
        *(("--scheduling-policy", "priority") if spec.model.priority_scheduling else ()),
        *spec.prepared.engine_args,
        *(("--dtype", spec.model.dtype) if spec.model.dtype else ()),
        *spec.model.engine_args,
    )


def cpu_args(spec: EngineSpec) -> tuple[str, ...]:
    """Arguments for the CPU build: no compilation, engine and worker in one process, a bounded cache.

    Compilation takes minutes of start and gains nothing at this size; a worker process of its own costs
    another import of vLLM and half a gigabyte.
    """
    kv_cache_bytes = (
        spec.model.kv_cache_memory_bytes or spec.prepared.kv_cache_memory_bytes or _DEFAULT_CPU_KV_CACHE_BYTES
    )
    return (
        *("--enforce-eager", "--distributed-executor-backend", "uni"),
        *("--kv-cache-memory-bytes", str(kv_cache_bytes)),
        # `auto`: the model's own context length, or what the bounded cache holds if that is less.
        *("--max-model-len", str(_max_model_len(spec) or "auto")),
    )


def gpu_args(spec: EngineSpec) -> tuple[str, ...]:
    """Arguments for a GPU build: vLLM's own choices, but for what was set and for a shared GPU."""
    kv_cache_bytes = spec.model.kv_cache_memory_bytes
    share = spec.share.gpu_memory_utilization
    max_model_len = _max_model_len(spec)
    return (
        *(("--kv-cache-memory-bytes", str(kv_cache_bytes)) if kv_cache_bytes else ()),
        *(("--gpu-memory-utilization", f"{share:.2f}") if share is not None else ()),
        *(("--max-model-len", str(max_model_len)) if max_model_len else ()),
    )


def environment(spec: EngineSpec, *, inherited: Mapping[str, str], cache_dir: Path) -> dict[str, str]:
    """Build the replica's environment from the gateway's own, without the gateway's settings and secrets."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _DROPPED_VARIABLES and not name.startswith("LMAAS_")
    }
    ours = {
        "VLLM_CACHE_ROOT": str(cache_dir / "vllm"),
        # vLLM's sockets between its processes: here they go when the runtime folder goes.
        "VLLM_RPC_BASE_PATH": str(spec.socket_path.parent),
        # Its default of 5 s closes idle connections of the gateway's pool all the time.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
    }
    return (
        _tracing(spec)
        | kept
        | ours
        | _offline(spec)
        | (_cpu_environment(spec) if spec.device == "cpu" else _gpu_environment(spec))
    )


def shares(
    models: tuple[ModelSettings, ...], *, device: Device, cores: int, gpus: tuple[str, ...]
) -> tuple[Share, ...]:
    """Divide the machine among all replicas launched for `models`, in their order.

    On a CPU every replica gets the same number of threads, at least one. GPUs are dealt out in turn, unless a
    model says itself how many it spans.
    """
    counts = [model.replicas for model in models if isinstance(model.replicas, int)]
    total = sum(counts)
    if device == "cpu":
        return (Share(omp_threads=omp_threads(cores, total)),) * total
    spans_gpus = any(
        argument.startswith(_PARALLEL_FLAGS) for model in models for argument in model.engine_args
    )
    if not gpus or spans_gpus:
        return (Share(),) * total
    return tuple(_gpu_share(replica, total, gpus) for replica in range(total))


def omp_threads(cores: int, replicas: int) -> int:
    """Threads of each replica: its part of the cores, but two where the machine has two.

    Replicas are rarely busy at the same time. Measured on 2 cores with two replicas, waiting threads asleep:
    against one thread each, two give a sixth more tokens while others load the machine, two thirds more when
    it is quiet.
    """
    return max(min(2, cores), cores // max(1, replicas))


def _gpu_share(replica: int, replicas: int, gpus: tuple[str, ...]) -> Share:
    turn = replica % len(gpus)
    sharing = len(range(turn, replicas, len(gpus)))
    return Share(gpu=gpus[turn], gpu_memory_utilization=None if sharing == 1 else _GPU_MEMORY_SHARE / sharing)


def _max_model_len(spec: EngineSpec) -> int | None:
    return spec.model.max_model_len or spec.prepared.max_model_len


def _kind_args(spec: EngineSpec) -> tuple[str, ...]:
    kind = spec.model.kind or spec.prepared.kind
    return ("--runner", "pooling") if kind in ("embedding", "classify", "rerank") else ()


def _offline(spec: EngineSpec) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if spec.prepared.is_local else {}


def _traces_args(spec: EngineSpec) -> tuple[str, ...]:
    """Without statistics vLLM has nothing to put into a span, and fails on each call."""
    if spec.traces_endpoint is None or _NO_STATS in spec.model.engine_args:
        return ()
    return ("--otlp-traces-endpoint", spec.traces_endpoint)


def _tracing(spec: EngineSpec) -> dict[str, str]:
    """Have spans come as the gateway's do; its own variables of OpenTelemetry win."""
    if spec.traces_endpoint is None:
        return {}
    return {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_SERVICE_NAME": "vllm"}


def _cpu_environment(spec: EngineSpec) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": str(spec.share.omp_threads),
        # Threads that wait by spinning take the cores from those of other replicas that have work.
        "OMP_WAIT_POLICY": "PASSIVE",
        # The first call that asks for logprobs would compile a kernel for seconds.
        "TORCHDYNAMO_DISABLE": "1",
        # Without it the CPU build turns the `uni` executor back into one with a process of its own.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }


def _gpu_environment(spec: EngineSpec) -> dict[str, str]:
    return {} if spec.share.gpu is None else {"CUDA_VISIBLE_DEVICES": spec.share.gpu}
