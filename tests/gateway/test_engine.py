from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lmaas_gateway.replicas.catalog import PreparedModel
from lmaas_gateway.replicas.engine import Device, EngineSpec, Share, command, environment, shares
from lmaas_gateway.settings import EngineSettings, ModelSettings

CATALOGUE = PreparedModel(
    "smol", "/cache/smol", "chat", is_local=True, engine_args=("--dtype", "float32"), max_model_len=8192,
    kv_cache_memory_bytes=512,
)  # fmt: skip
HUB = PreparedModel("org/name", "org/name", None, is_local=False)


def spec(
    model: ModelSettings | None = None,
    prepared: PreparedModel = CATALOGUE,
    device: Device = "cpu",
    share: Share = Share(omp_threads=3),  # noqa: B008 - frozen
) -> EngineSpec:
    return EngineSpec(
        model or ModelSettings(name="public", model="smol"),
        prepared,
        EngineSettings(max_num_queued_reqs=7, shutdown_timeout_s=9),
        "/engine/python",
        device,
        Path("/run/a.sock"),
        share,
    )


def option(arguments: tuple[str, ...], name: str) -> str | None:
    """The value that wins: argparse takes the last."""
    places = [index for index, argument in enumerate(arguments) if argument == name]
    return arguments[places[-1] + 1] if places else None


def test_command_runs_vllms_server_on_the_socket_under_the_public_name() -> None:
    arguments = command(spec())
    assert arguments[:3] == ("/engine/python", "-m", "vllm.entrypoints.launchers.api_server.entry")
    expected = {
        "--model": "/cache/smol",
        "--served-model-name": "public",
        "--uds": "/run/a.sock",
        "--max-num-queued-reqs": "7",
        "--shutdown-timeout": "9",
        "--dtype": "float32",
    }
    assert {name: option(arguments, name) for name in expected} == expected
    assert "--enable-prompt-tokens-details" in arguments


def test_engine_sends_spans_where_the_gateway_does_unless_it_has_nothing_to_tell() -> None:
    assert option(command(spec()), "--otlp-traces-endpoint") is None
    traced = replace(spec(), traces_endpoint="http://collector/v1/traces")
    assert option(command(traced), "--otlp-traces-endpoint") == "http://collector/v1/traces"
    quiet = ModelSettings(name="public", model="smol", engine_args=("--disable-log-stats",))
    assert "--otlp-traces-endpoint" not in command(replace(traced, model=quiet))
    own = {"OTEL_SERVICE_NAME": "mine"}
    variables = environment(traced, inherited=own, cache_dir=Path("/cache"))
    assert variables["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert variables["OTEL_SERVICE_NAME"] == "mine"
    assert "OTEL_SERVICE_NAME" not in environment(spec(), inherited={}, cache_dir=Path("/cache"))


def test_engine_could_fetch_media_from_nowhere() -> None:
    assert option(command(spec()), "--allowed-media-domains") == "media.invalid"
    variables = environment(spec(), inherited={}, cache_dir=Path("/cache"))
    assert variables["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


@pytest.mark.parametrize("has_priorities", [True, False])
def test_engine_schedules_by_priority_where_its_model_says_so(has_priorities: bool) -> None:
    model = ModelSettings(name="public", model="smol", priority_scheduling=has_priorities)
    policy = option(command(spec(model)), "--scheduling-policy")
    assert policy == ("priority" if has_priorities else None)


def test_cpu_command_is_eager_in_one_process_with_a_bounded_cache() -> None:
    arguments = command(spec())
    assert "--enforce-eager" in arguments
    assert option(arguments, "--distributed-executor-backend") == "uni"
    assert option(arguments, "--kv-cache-memory-bytes") == "512"
    assert option(arguments, "--max-model-len") == "8192"


def test_cpu_command_of_an_unknown_model_bounds_the_cache_and_fits_the_context_into_it() -> None:
    arguments = command(spec(prepared=HUB))
    assert option(arguments, "--kv-cache-memory-bytes") == str(2**30)
    assert option(arguments, "--max-model-len") == "auto"


def test_settings_of_the_model_win_over_the_catalogue_and_its_engine_args_over_all() -> None:
    model = ModelSettings(
        name="public",
        model="smol",
        max_model_len=100,
        kv_cache_memory_bytes=200,
        dtype="bfloat16",
        engine_args=("--max-num-queued-reqs", "1"),
    )
    arguments = command(spec(model))
    assert option(arguments, "--max-model-len") == "100"
    assert option(arguments, "--kv-cache-memory-bytes") == "200"
    assert option(arguments, "--dtype") == "bfloat16"
    assert option(arguments, "--max-num-queued-reqs") == "1"


def test_gpu_command_leaves_vllm_its_own_choices() -> None:
    arguments = command(spec(prepared=HUB, device="gpu", share=Share()))
    for absent in (
        "--enforce-eager",
        "--distributed-executor-backend",
        "--kv-cache-memory-bytes",
        "--gpu-memory-utilization",
        "--max-model-len",
    ):
        assert absent not in arguments


def test_gpu_command_takes_what_was_set_and_its_share() -> None:
    model = ModelSettings(name="public", model="smol", kv_cache_memory_bytes=200, max_model_len=300)
    arguments = command(spec(model, device="gpu", share=Share(gpu="1", gpu_memory_utilization=0.45)))
    assert option(arguments, "--kv-cache-memory-bytes") == "200"
    assert option(arguments, "--max-model-len") == "300"
    assert option(arguments, "--gpu-memory-utilization") == "0.45"


@pytest.mark.parametrize(
    ("kind", "runner"),
    [
        ("embedding", "pooling"),
        ("classify", "pooling"),
        ("rerank", "pooling"),
        ("chat", None),
        ("completion", None),
    ],
)
def test_runner_follows_the_kind(kind: str, runner: str | None) -> None:
    model = ModelSettings.model_validate({"name": "public", "model": "org/name", "kind": kind})
    assert option(command(spec(model, HUB)), "--runner") == runner


def test_environment_keeps_the_users_but_not_our_secrets_nor_what_breaks_the_engine() -> None:
    inherited = {
        "PATH": "/bin",
        "LMAAS_API_KEY": "secret",
        "VLLM_API_KEY": "secret",
        "VLLM_CPU_KVCACHE_SPACE": "",
        "OMP_NUM_THREADS": "64",
    }
    environ = environment(spec(), inherited=inherited, cache_dir=Path("/cache"))
    assert environ["PATH"] == "/bin"
    assert environ["OMP_NUM_THREADS"] == "3"
    assert environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert environ["HF_HUB_OFFLINE"] == environ["TRANSFORMERS_OFFLINE"] == "1"
    assert environ["VLLM_CACHE_ROOT"] == "/cache/vllm"
    assert environ["VLLM_RPC_BASE_PATH"] == "/run"
    assert not {"LMAAS_API_KEY", "VLLM_API_KEY", "VLLM_CPU_KVCACHE_SPACE"} & environ.keys()


def test_hub_models_may_ask_the_hub() -> None:
    environ = environment(spec(prepared=HUB), inherited={}, cache_dir=Path("/cache"))
    assert "HF_HUB_OFFLINE" not in environ


def test_gpu_environment_names_the_replicas_gpu_only() -> None:
    environ = environment(
        spec(device="gpu", share=Share(gpu="GPU-abc")), inherited={}, cache_dir=Path("/cache")
    )
    assert environ["CUDA_VISIBLE_DEVICES"] == "GPU-abc"
    assert "OMP_NUM_THREADS" not in environ
    unpinned = environment(spec(device="gpu", share=Share()), inherited={}, cache_dir=Path("/cache"))
    assert "CUDA_VISIBLE_DEVICES" not in unpinned


def models(*replicas: int, engine_args: tuple[str, ...] = ()) -> tuple[ModelSettings, ...]:
    remote = ModelSettings.model_validate({"name": "remote", "replicas": [{"url": "http://127.0.0.1:1"}]})
    launched = (
        ModelSettings(name=f"m{index}", model="org/name", replicas=count, engine_args=engine_args)
        for index, count in enumerate(replicas)
    )
    return (remote, *launched)


@pytest.mark.parametrize(
    ("cores", "replicas", "threads"),
    [(1, 1, 1), (1, 3, 1), (2, 1, 2), (2, 2, 2), (8, 1, 8), (8, 3, 2), (64, 4, 16)],
)
def test_cores_are_shared_but_two_threads_are_the_least(cores: int, replicas: int, threads: int) -> None:
    dealt = shares(models(replicas), device="cpu", cores=cores, gpus=())
    assert dealt == (Share(omp_threads=threads),) * replicas


def test_gpus_are_dealt_out_in_turn_and_their_memory_is_divided() -> None:
    dealt = shares(models(2, 1), device="gpu", cores=8, gpus=("4", "5"))
    assert [(share.gpu, share.gpu_memory_utilization) for share in dealt] == [
        ("4", 0.45),
        ("5", None),
        ("4", 0.45),
    ]


@pytest.mark.parametrize("argument", ["--tensor-parallel-size=2", "-tp"])
def test_model_that_spans_gpus_is_not_pinned_to_one(argument: str) -> None:
    assert shares(models(1, engine_args=(argument, "2")), device="gpu", cores=8, gpus=("0", "1")) == (
        Share(),
    )


def test_unknown_gpus_are_left_to_vllm() -> None:
    assert shares(models(2), device="gpu", cores=8, gpus=()) == (Share(), Share())
