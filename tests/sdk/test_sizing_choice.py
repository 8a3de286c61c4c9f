"""Which model to take: the smallest that is good enough, and how fast it will be."""

from __future__ import annotations

import pytest

from lmaas.evidence import Evidence, Grade
from lmaas.sizing import (
    Hardware,
    Measured,
    SizingError,
    estimate_speed,
    find_model,
    fit,
    quantization,
    smallest_good_enough,
)
from sdk.sizing_fits import LLAMA_8B, LLAMA_70B, sized


def measured(model: str, parameters: float, value: float, low: float | None) -> Measured:
    quality = Evidence(metric="quality", value=value, low=low, grade=Grade.A, source="test")
    return Measured(model=model, parameters=int(parameters), quality=quality)


SIZES = [
    measured("large", 70e9, 0.93, 0.91),
    measured("tiny", 1e9, 0.60, 0.55),
    measured("medium", 14e9, 0.90, 0.86),
    measured("small", 8e9, 0.87, 0.82),
]


@pytest.mark.parametrize(
    ("minimum", "choice", "lora"),
    [
        (0.5, "tiny", None),
        (0.80, "small", None),
        (0.85, "medium", "small"),
        (0.90, "large", "medium"),
        (0.92, None, "large"),
        (0.99, None, None),
    ],
)
def test_smallest_whose_lower_bound_is_enough_is_chosen(
    minimum: float, choice: str, lora: str | None
) -> None:
    answer = smallest_good_enough(SIZES, minimum)
    assert (answer.choice, answer.lora) == (choice, lora)
    assert [reason.split(":")[0] for reason in answer.reasons] == ["tiny", "small", "medium", "large"]


def test_order_of_the_models_does_not_matter() -> None:
    assert smallest_good_enough(SIZES, 0.85) == smallest_good_enough(SIZES[::-1], 0.85)


def test_mean_above_the_minimum_is_not_enough() -> None:
    answer = smallest_good_enough([measured("lucky", 1e9, 0.9, 0.7)], 0.85)
    assert answer.choice is None
    assert "may be good enough; measure more examples" in answer.reasons[0]


def test_doubled_noise_never_makes_a_smaller_model_good_enough() -> None:
    noisy = [
        measured(one.model, one.parameters, one.quality.value, 2 * (one.quality.low or 0) - one.quality.value)
        for one in SIZES
    ]
    sure, unsure = smallest_good_enough(SIZES, 0.85), smallest_good_enough(noisy, 0.85)
    assert sure.choice == "medium"
    assert unsure.choice == "large"


@pytest.mark.parametrize(
    ("models", "said"),
    [([], "at least one"), ([measured("m", 1, 0.9, None)], "m: its quality has no interval")],
)
def test_quality_without_an_interval_decides_nothing(models: list[Measured], said: str) -> None:
    with pytest.raises(SizingError, match=said):
        smallest_good_enough(models, 0.5)


def test_speed_is_a_guess_between_good_and_bad_kernels() -> None:
    speed = estimate_speed(sized(LLAMA_8B, "L4"), prompt_tokens=1000, output_tokens=250, together=1)
    for figure in speed.evidence():
        assert figure.grade is Grade.D
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high
    # alone, each token reads all weights but the embedding's: 13.97 GiB at 300 GB/s
    assert speed.itl.low == pytest.approx(15.0e9 / (300e9 * 0.9), rel=0.02)
    assert speed.output_tokens_per_s.value == pytest.approx(1 / speed.itl.value)
    assert speed.e2e.value == pytest.approx(speed.ttft.value + 249 * speed.itl.value)


def test_more_at_a_time_serve_more_requests_and_each_of_them_slower() -> None:
    one = sized(LLAMA_8B, "H100")
    few, many = (estimate_speed(one, prompt_tokens=1000, output_tokens=250, together=n) for n in (4, 64))
    assert many.requests_per_s.value > few.requests_per_s.value
    assert many.itl.value > few.itl.value


def test_cache_bounds_how_many_are_served_at_a_time() -> None:
    one = sized(LLAMA_8B, "L4")
    speed = estimate_speed(one, prompt_tokens=8000, output_tokens=500)
    assert speed.together == one.sequences(8500) < 256


def test_few_tokens_touch_few_experts_and_many_touch_all() -> None:
    one = sized("Qwen/Qwen3-30B-A3B", "H100")
    alone, crowd = (estimate_speed(one, prompt_tokens=100, output_tokens=100, together=n) for n in (1, 256))
    dense = sized("Qwen/Qwen3-32B", "H100")
    assert (
        alone.itl.value
        < 0.2 * estimate_speed(dense, prompt_tokens=100, output_tokens=100, together=1).itl.value
    )
    assert crowd.itl.value > 5 * alone.itl.value


def test_fp8_weights_are_faster_where_the_card_computes_in_fp8() -> None:
    model = find_model(LLAMA_8B)
    for gpu, is_faster in (("H100", True), ("A100-80GB", False)):
        hardware = Hardware.parse(gpu)
        times = [
            estimate_speed(fit(each, hardware), prompt_tokens=8000, output_tokens=1).ttft.value
            for each in (model, model.quantized(quantization("fp8")))
        ]
        assert (times[1] < 0.8 * times[0]) is is_faster


def test_gpus_that_share_layers_wait_for_each_other() -> None:
    nvlink = sized(LLAMA_70B, "H100x4", tensor_parallel_size=4)
    pcie = sized(LLAMA_70B, "L40Sx8", tensor_parallel_size=8)
    for one in (nvlink, pcie):
        speed = estimate_speed(one, prompt_tokens=1000, output_tokens=100, together=1)
        read = one.tightest.weights_bytes / (one.hardware.accelerator.memory_bandwidth_bytes_per_s * 0.7)
        waited = speed.itl.value - read  # 2 x 80 layers x 10 or 30 microseconds, and little else
        assert waited == pytest.approx(160 * (10e-6 if one is nvlink else 30e-6), rel=0.4)


def test_windows_cap_what_a_step_reads() -> None:
    one = sized("google/gemma-3-12b-it", "H200")
    near, far = (
        estimate_speed(one, prompt_tokens=tokens, output_tokens=1, together=8).itl.value
        for tokens in (1000, 100_000)
    )
    full = one.model.shape.full_layers / one.model.shape.num_layers
    read = 8 * 99_000 * one.kv_bytes_per_token * full / (4.8e12 * 0.7)
    assert far - near == pytest.approx(read, rel=0.05)


def test_speed_of_a_model_that_pools_is_that_of_its_prompts() -> None:
    speed = estimate_speed(sized("BAAI/bge-m3", "L4"), prompt_tokens=500, output_tokens=0)
    assert speed.requests_per_s.value == pytest.approx(1 / speed.ttft.value)


def test_answer_of_one_token_ends_with_its_first() -> None:
    speed = estimate_speed(sized(LLAMA_8B, "H100"), prompt_tokens=100, output_tokens=1)
    assert speed.e2e.value == speed.ttft.value


def test_speed_of_fewer_than_one_at_a_time_is_refused() -> None:
    with pytest.raises(SizingError, match="together must be 1 or more"):
        estimate_speed(sized(LLAMA_8B, "H100"), prompt_tokens=10, output_tokens=1, together=-1)


@pytest.mark.parametrize(("gpu", "tokens", "said"), [("T4", 10, "does not fit"), ("H100", 0, "1 or more")])
def test_speed_of_nothing_is_refused(gpu: str, tokens: int, said: str) -> None:
    one = sized(LLAMA_8B, gpu)
    with pytest.raises(SizingError, match=said if one.fits else "does not fit has no speed"):
        estimate_speed(one, prompt_tokens=tokens, output_tokens=1)
