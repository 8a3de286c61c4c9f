"""What was worked out, as plain values that JSON can write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmaas.sizing._advice import ways_to_fit
from lmaas.sizing._cost import Cost
from lmaas.sizing._fit import Fit, Stage
from lmaas.sizing._flags import serve_command, serve_flags
from lmaas.sizing._speed import Speed
from lmaas.sizing._split import weight_bytes


def size_report(
    one: Fit, *, speed: Speed | None = None, accounts: Sequence[Cost] = (), sequence_tokens: int = 1
) -> dict[str, Any]:
    """Return model, memory, room, flags and advice, and speed and costs where they were worked out.

    Bytes are of one GPU, the tightest, but for `weights_total_bytes`.
    """
    report: dict[str, Any] = {
        "model": one.model.name,
        "model_source": one.model.source,
        "parameters": one.model.parameters.total,
        "weights_are_exact": bool(one.model.stored),
        "weights_total_bytes": weight_bytes(one.model, one.engine.dtype),
        "hardware": str(one.hardware),
        "fits": one.fits,
        "reason": one.reason,
        "missing_bytes": max(one.missing_bytes, 0),
        "spare_bytes": max(-one.missing_bytes, 0),
        "tensor_parallel_size": one.engine.split.tensor,
        "pipeline_parallel_size": one.engine.split.pipeline,
        "replicas": one.replicas,
        "budget_bytes": one.budget_bytes,
        **_memory(one.tightest),
        "kv_bytes_per_token": one.kv_bytes_per_token,
        "kv_cache_tokens": one.evidence().to_dict(),
        "max_model_len": one.max_model_len,
        "sequence_tokens": sequence_tokens,
        "sequences": one.sequences(sequence_tokens),
        "flags": serve_flags(one),
        "command": serve_command(one),
        "ways_to_fit": ways_to_fit(one, sequence_tokens),
    }
    if speed is not None:
        report["speed"] = [figure.to_dict() for figure in speed.evidence()]
        report["speed_together"] = speed.together
    if accounts:
        report["usd_per_gpu_hour"] = accounts[0].plan.usd_per_gpu_hour.to_dict()
        report["goodput"] = accounts[0].plan.goodput.to_dict()
        report["costs"] = [_account(account) for account in accounts]
    return report


def _memory(stage: Stage) -> dict[str, int]:
    return {
        "weights_bytes": stage.weights_bytes,
        "activations_bytes": stage.runtime.activations,
        "cuda_graphs_bytes": stage.runtime.cuda_graphs,
        "outside_torch_bytes": stage.runtime.outside,
        "kv_cache_bytes": max(stage.cache_bytes, 0),
    }


def _account(account: Cost) -> dict[str, Any]:
    return {
        "load": account.load.name,
        "requests_per_day": account.load.requests_per_day,
        "replicas": account.replicas,
        "utilisation": account.utilisation,
        "lines_usd_per_day": dict(account.lines),
        "usd_per_day": account.usd_per_day,
        "usd_per_request": account.usd_per_request,
        "grade": account.plan.grade.value,
        f"usd_per_million_{account.useful_tokens}_tokens": account.usd_per_million_tokens,
        "hosted_usd_per_day": account.hosted_usd_per_day,
        "break_even_requests_per_s": account.break_even_per_s,
        "break_even_is_reachable": account.break_even_is_reachable,
    }
