"""Which model fits which hardware, with what room, flags and cost.

    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    one = fit(model, Hardware.parse("L4"))
    print(one.cache_tokens, serve_command(one))

Everything is arithmetic over a config.json, headers of safetensors and data sheets: nothing is downloaded.
"""

from __future__ import annotations

from lmaas.sizing._accelerators import Accelerator, Hardware, accelerator, accelerators
from lmaas.sizing._advice import ways_to_fit
from lmaas.sizing._config import read_config
from lmaas.sizing._cost import Cost, Extras, HostedPrice, Plan, Request, costs
from lmaas.sizing._errors import SizingError
from lmaas.sizing._fit import Fit, Stage, fit
from lmaas.sizing._flags import serve_command, serve_flags
from lmaas.sizing._kv_cache import CacheLayout, cache_layout, kv_bytes_per_token
from lmaas.sizing._load import Load, replicas_needed
from lmaas.sizing._models import Model, find_model, known_models
from lmaas.sizing._parameters import Parameters, count_parameters
from lmaas.sizing._quantization import Quantization, quantization
from lmaas.sizing._report import size_report
from lmaas.sizing._right_size import Measured, RightSize, models_that_fit, smallest_good_enough
from lmaas.sizing._runtime import Runtime
from lmaas.sizing._settings import Engine, EngineSettings
from lmaas.sizing._shape import Experts, LatentAttention, ModelShape, RecurrentState
from lmaas.sizing._speed import Speed, estimate_speed
from lmaas.sizing._split import Split, gpu_weight_bytes, tensor_sizes, weight_bytes

__all__ = [
    "Accelerator",
    "CacheLayout",
    "Cost",
    "Engine",
    "EngineSettings",
    "Experts",
    "Extras",
    "Fit",
    "Hardware",
    "HostedPrice",
    "LatentAttention",
    "Load",
    "Measured",
    "Model",
    "ModelShape",
    "Parameters",
    "Plan",
    "Quantization",
    "RecurrentState",
    "Request",
    "RightSize",
    "Runtime",
    "SizingError",
    "Speed",
    "Split",
    "Stage",
    "accelerator",
    "accelerators",
    "cache_layout",
    "costs",
    "count_parameters",
    "estimate_speed",
    "find_model",
    "fit",
    "gpu_weight_bytes",
    "known_models",
    "kv_bytes_per_token",
    "models_that_fit",
    "quantization",
    "read_config",
    "replicas_needed",
    "serve_command",
    "serve_flags",
    "size_report",
    "smallest_good_enough",
    "tensor_sizes",
    "ways_to_fit",
    "weight_bytes",
]
