"""`lmaas size`: does a model fit, with what room, by which command, and at what cost."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, table, write

if TYPE_CHECKING:
    from lmaas.sizing import Accelerator, Cost, EngineSettings, Fit, Hardware, HostedPrice, Model, Plan, Speed

_EPILOG = """examples:
  lmaas size meta-llama/Llama-3.1-8B-Instruct --gpu L4
  lmaas size ./my-model --gpu H100x8 --max-model-len 32768 --kv-cache-dtype fp8
  eval "$(lmaas size Qwen/Qwen3-8B --gpu L4 --flags)"
  lmaas size Qwen/Qwen3-8B --gpu L40S --rate 2 --day office --goodput 1.4 --hosted 0.05/0.25
  lmaas size --gpu A100-40GB --prompt-tokens 4000 --output-tokens 500
  lmaas size --list-gpus

Nothing is downloaded: MODEL is a known name (--list-models), a folder with a config.json and, at best, its
safetensors, or a config.json. Without MODEL, the known models that fit are listed, the largest first.
Exit code 1: it does not fit.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "size",
        help="which model fits which hardware, and at what cost",
        description="Work out memory, room, flags and cost of serving a model with vLLM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="known name, folder, or config.json")
    parser.add_argument("--gpu", metavar="NAME", help="hardware of one machine, such as L4 or H100x8")
    parser.add_argument("--parameters", type=int, metavar="N", help="for architectures not counted here")
    _add_engine(parser.add_argument_group("how vLLM is run, by its own names"))
    _add_workload(parser.add_argument_group("what comes"))
    _add_costs(parser.add_argument_group("what it costs"))
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--flags", action="store_true", help="print the command of vLLM and nothing else")
    output.add_argument("--list-gpus", action="store_true", help="list the accelerators that are known")
    output.add_argument("--list-models", action="store_true", help="list the models that need no file")
    parser.set_defaults(run=_run)


def _add_engine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tensor-parallel-size", "--tp", type=int, metavar="N")
    group.add_argument("--pipeline-parallel-size", "--pp", type=int, default=1, metavar="N")
    group.add_argument("--max-model-len", type=int, metavar="TOKENS")
    group.add_argument("--gpu-memory-utilization", type=float, default=0.92, metavar="SHARE")
    group.add_argument("--max-num-seqs", type=int, metavar="N")
    group.add_argument("--max-num-batched-tokens", type=int, metavar="TOKENS")
    group.add_argument("--dtype", default="auto")
    group.add_argument("--kv-cache-dtype", default="auto")
    group.add_argument("--quantization", choices=("fp8", "int8", "int4"), help="as if it were stored so")
    group.add_argument("--enforce-eager", action="store_true")


def _add_workload(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--prompt-tokens", type=int, default=1000, metavar="N", help="default: 1000")
    group.add_argument(
        "--output-tokens", type=int, default=250, metavar="N", help="default: 250; models that pool have none"
    )
    group.add_argument("--rate", type=float, metavar="PER_S", help="requests a second in the busiest hour")
    group.add_argument("--day", default="flat", help="how a day goes: flat, office or consumer")
    group.add_argument("--rates", type=_numbers, metavar="LIST", help="24 rates, from midnight on, instead")
    group.add_argument(
        "--cached-share", type=float, default=0.0, metavar="SHARE", help="of prompts, measured"
    )
    group.add_argument("--goodput", type=float, metavar="PER_S", help="of one copy, measured (lmaas bench)")


def _add_costs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--usd-per-gpu-hour", type=float, metavar="USD", help="default: a published price")
    group.add_argument("--spares", type=int, default=0, metavar="N", help="copies beyond the busiest hour's")
    group.add_argument("--hosted", type=_numbers, metavar="IN/OUT[/CACHED]", help="price a million tokens")
    for name, what in (("egress", "traffic out"), ("operations", "people"), ("evaluation", "checks")):
        group.add_argument(f"--{name}-usd-per-day", type=float, default=0.0, metavar="USD", help=what)
    group.add_argument("--retry-share", type=float, default=0.0, metavar="SHARE", help="made again")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.replace("/", ",").split(","))
    except ValueError:
        message = f"{text!r} is not numbers with commas or slashes between them"
        raise argparse.ArgumentTypeError(message) from None


def _run(options: argparse.Namespace) -> int:
    if options.list_gpus:
        return _list_gpus()
    if options.list_models:
        return _list_models()
    if options.gpu is None:
        raise CommandError("say on what: --gpu L4, or --gpu H100x8; --list-gpus lists the names")
    return _list_fitting(options) if options.model is None else _size(options)


def _size(options: argparse.Namespace) -> int:
    from lmaas.sizing import fit, serve_command, size_report

    model = _model(options)
    if model.shape.kind == "pooling":
        options.output_tokens = 0  # it answers with vectors or scores
        options.prompt_tokens = min(options.prompt_tokens, model.shape.max_model_len)
    tokens = options.prompt_tokens + options.output_tokens
    one = fit(model, _hardware(options), _settings(options), sequence_tokens=tokens)
    if options.flags:
        return _print_command(one, serve_command(one))
    speed = _speed(one, options)
    accounts = _accounts(one, speed, options)
    report = size_report(one, speed=speed, accounts=accounts, sequence_tokens=tokens)
    if options.json:
        write(json.dumps(report, indent=2) + "\n")
    else:
        from lmaas.cli._size_tables import print_report

        print_report(one, report)
    return 0 if one.fits else 1


def _print_command(one: Fit, command: str) -> int:
    if not one.fits:
        note(f"lmaas: {one.model.name} does not fit {one.hardware}; without --flags you are told what would")
        return 1
    write(command + "\n")
    return 0


def _model(options: argparse.Namespace) -> Model:
    from lmaas.sizing import find_model, quantization

    model = find_model(options.model, parameters=options.parameters)
    return model.quantized(quantization(options.quantization)) if options.quantization else model


def _hardware(options: argparse.Namespace) -> Hardware:
    from lmaas.sizing import Hardware

    hardware = Hardware.parse(options.gpu)
    price = options.usd_per_gpu_hour
    return hardware if price is None else hardware.with_price(price, "--usd-per-gpu-hour")


def _settings(options: argparse.Namespace) -> EngineSettings:
    from lmaas.sizing import EngineSettings

    return EngineSettings(
        tensor_parallel_size=options.tensor_parallel_size,
        pipeline_parallel_size=options.pipeline_parallel_size,
        max_model_len=options.max_model_len,
        gpu_memory_utilization=options.gpu_memory_utilization,
        max_num_seqs=options.max_num_seqs,
        max_num_batched_tokens=options.max_num_batched_tokens,
        dtype=options.dtype,
        kv_cache_dtype=options.kv_cache_dtype,
        enforce_eager=options.enforce_eager,
    )


def _speed(one: Fit, options: argparse.Namespace) -> Speed | None:
    from lmaas.sizing import estimate_speed

    if not one.fits:
        return None
    return estimate_speed(one, prompt_tokens=options.prompt_tokens, output_tokens=options.output_tokens)


def _accounts(one: Fit, speed: Speed | None, options: argparse.Namespace) -> tuple[Cost, ...]:
    from lmaas.sizing import Extras, Load, Request, costs

    if speed is None or (options.rate is None and options.rates is None):
        return ()
    load = Load.of_rates(options.rates) if options.rates else Load.of_day(options.rate, options.day)
    request = Request(
        prompt_tokens=options.prompt_tokens,
        output_tokens=options.output_tokens,
        cached_share=options.cached_share,
    )
    extras = Extras(
        egress_usd=options.egress_usd_per_day,
        operations_usd=options.operations_usd_per_day,
        evaluation_usd=options.evaluation_usd_per_day,
        retry_share=options.retry_share,
    )
    return costs(_plan(one, speed, options), load, request, hosted=_hosted(options), extras=extras)


def _plan(one: Fit, speed: Speed, options: argparse.Namespace) -> Plan:
    from lmaas.evidence import Evidence, Grade
    from lmaas.sizing import Plan

    goodput = speed.requests_per_s
    if options.goodput is not None:
        goodput = Evidence(
            metric=goodput.metric,
            value=options.goodput,
            unit=goodput.unit,
            grade=Grade.A,
            source="--goodput, as measured",
        )
    return Plan(
        gpus_per_replica=one.engine.split.gpus,
        usd_per_gpu_hour=one.hardware.accelerator.usd_per_hour,
        goodput=goodput,
        spares=options.spares,
    )


def _hosted(options: argparse.Namespace) -> HostedPrice | None:
    from lmaas.sizing import HostedPrice

    if options.hosted is None:
        return None
    if not 2 <= len(options.hosted) <= 3:
        raise CommandError("--hosted takes two or three prices a million tokens: IN/OUT or IN/OUT/CACHED")
    cached = options.hosted[2] if len(options.hosted) == 3 else None
    return HostedPrice(input_usd=options.hosted[0], output_usd=options.hosted[1], cached_input_usd=cached)


def _list_fitting(options: argparse.Namespace) -> int:
    from lmaas.sizing import models_that_fit

    hardware, length = _hardware(options), options.prompt_tokens + options.output_tokens
    if length < 1:
        raise CommandError("--prompt-tokens and --output-tokens together must be 1 or more")
    found = models_that_fit(hardware, settings=_settings(options), sequence_tokens=length)
    rows = [
        (
            one.model.name,
            f"{one.model.parameters.total / 1e9:.1f}B",
            str(one.engine.split.tensor),
            str(one.cache_tokens),
            str(one.sequences(length)),
        )
        for one in found
    ]
    if options.json:
        keys = ("model", "parameters", "tensor_parallel_size", "kv_cache_tokens", "sequences")
        write(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]) + "\n")
    else:
        write(table(("MODEL", "SIZE", "TP", "CACHE TOKENS", f"SEQUENCES OF {length}"), rows))
    return 0 if found else 1


def _list_gpus() -> int:
    from lmaas.sizing import accelerators

    header = ("NAME", "GIB", "GB/S", "TFLOPS", "FP8", "LINK", "USD/H", "CLAIMED BY")
    write(table(header, [_gpu_row(one) for one in accelerators()]))
    return 0


def _gpu_row(one: Accelerator) -> tuple[str, ...]:
    price = one.usd_per_hour
    return (
        one.name,
        f"{one.memory_bytes / 2**30:.2f}",
        f"{one.memory_bandwidth_bytes_per_s / 1e9:.0f}",
        f"{one.half_flops / 1e12:.0f}",
        "-" if one.fp8_flops is None else f"{one.fp8_flops / 1e12:.0f}",
        one.interconnect,
        f"{price.value:.2f}",
        f"{price.source} ({price.as_of})",
    )


def _list_models() -> int:
    from lmaas.sizing import find_model, known_models

    rows = []
    for name in known_models():
        model = find_model(name)
        size = f"{model.parameters.total / 1e9:.2f}B"
        rows.append((name, size, str(model.shape.max_model_len), model.shape.kind))
    write(table(("NAME", "PARAMETERS", "CONTEXT", "KIND"), rows))
    return 0
