"""Which of some models fits a GPU, for how many at a time, and at what price when the nights are quiet.

Run: python examples/size.py [GPU]
"""

from __future__ import annotations

import sys

from lmaas.sizing import (
    Hardware,
    HostedPrice,
    Load,
    Plan,
    Request,
    costs,
    estimate_speed,
    find_model,
    fit,
    serve_command,
    ways_to_fit,
)

MODELS = ["meta-llama/Llama-3.3-70B-Instruct", "Qwen/Qwen3-8B", "Qwen/Qwen3-0.6B"]
REQUEST = Request(prompt_tokens=1500, output_tokens=300)


def main(gpu: str = "L40S") -> None:
    """Print what fits, and what a day of the largest that fits costs."""
    hardware, tokens = Hardware.parse(gpu), REQUEST.prompt_tokens + REQUEST.output_tokens
    found = [fit(find_model(name), hardware, sequence_tokens=tokens) for name in MODELS]
    for one in found:
        if one.fits:
            print(f"{one.model.name}: {one.sequences(tokens)} at a time: {serve_command(one)}")
        else:
            print(f"{one.model.name}: does not fit; {ways_to_fit(one, tokens)[-1]} would")
    largest = next(one for one in found if one.fits)
    guess = estimate_speed(largest, prompt_tokens=REQUEST.prompt_tokens, output_tokens=REQUEST.output_tokens)
    # Measure the goodput (`lmaas bench`) before you believe a price: this one rests on a formula.
    plan = Plan(
        gpus_per_replica=1, usd_per_gpu_hour=hardware.accelerator.usd_per_hour, goodput=guess.requests_per_s
    )
    hosted = HostedPrice(input_usd=0.05, output_usd=0.25)
    for account in costs(plan, Load.of_day(2.0, "office"), REQUEST, hosted=hosted):
        print(
            f"{account.load.name}: {account.usd_per_million_tokens:.2f} USD a million tokens of answers, "
            f"{account.utilisation:.0%} busy; hosted {account.hosted_usd_per_day:.2f} USD a day, "
            f"here {account.usd_per_day:.2f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
