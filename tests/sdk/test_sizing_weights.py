"""Weights: bytes from headers of safetensors, hostile headers, parameters, and how GPUs share them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas.sizing import (
    Model,
    SizingError,
    Split,
    count_parameters,
    find_model,
    gpu_weight_bytes,
    known_models,
    quantization,
    read_config,
    tensor_sizes,
    weight_bytes,
)
from lmaas.sizing._safetensors import INDEX, read_file, read_folder
from lmaas.sizing._split import check_split, stage_layers
from sdk.sizing_shapes import LLAMA

TINY = LLAMA | {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 64,
}
Tensors = dict[str, tuple[str, list[int]]]
WIDTH = {"F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "U8": 1, "F8_E4M3": 1}


def header_of(tensors: Tensors) -> tuple[dict[str, Any], int]:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (dtype, shape) in tensors.items():
        size = WIDTH[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + size]}
        place += size
    return header, place


def write_raw(path: Path, header: bytes, data_bytes: int = 0, length: int | None = None) -> Path:
    """Write a file whose tensors are a hole: no test needs their bytes."""
    with path.open("wb") as file:
        file.write((len(header) if length is None else length).to_bytes(8, "little") + header)
        file.truncate(file.tell() + data_bytes)
    return path


def write(path: Path, tensors: Tensors) -> Path:
    header, size = header_of(tensors)
    return write_raw(path, json.dumps(header).encode(), size)


def folder(path: Path, tensors: Tensors, config: dict[str, Any]) -> Path:
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    write(path / "model.safetensors", tensors)
    return path


def test_bytes_of_a_folder_are_exact_and_no_weight_is_read(tmp_path: Path) -> None:
    one_tebibyte = {"model.embed_tokens.weight": ("BF16", [2**20, 2**19])}
    model = find_model(folder(tmp_path, one_tebibyte, TINY))
    assert weight_bytes(model, "bfloat16") == 2**40
    assert model.stored[0].numbers == 2**39


def test_weights_stored_in_float32_are_counted_in_the_dtype_they_are_loaded_in(tmp_path: Path) -> None:
    model = find_model(folder(tmp_path, {"a": ("F32", [1000]), "b": ("I64", [10])}, TINY))
    assert weight_bytes(model, "bfloat16") == 2000 + 80
    assert weight_bytes(model, "float32") == 4000 + 80


def test_quantised_weights_keep_the_bytes_that_they_are_stored_in(tmp_path: Path) -> None:
    config = TINY | {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    model = find_model(folder(tmp_path, {"qweight": ("I32", [100]), "scales": ("F16", [7])}, config))
    assert weight_bytes(model, "bfloat16") == 400 + 14


@pytest.mark.parametrize(
    "left_out",
    ["lm_head.weight", "model.layers.1.mtp.weight", "mtp.fc.weight", "model.rotary_emb.inv_freq"],
)
def test_tensors_that_vllm_does_not_load_are_not_counted(tmp_path: Path, left_out: str) -> None:
    config = TINY | {"tie_word_embeddings": True}
    tensors: Tensors = {"model.layers.0.a.weight": ("BF16", [10]), left_out: ("BF16", [99])}
    assert weight_bytes(find_model(folder(tmp_path, tensors, config)), "bfloat16") == 20


def test_index_says_which_tensor_of_which_shard_counts(tmp_path: Path) -> None:
    write(tmp_path / "model-1.safetensors", {"a": ("BF16", [1]), "stale": ("BF16", [50])})
    write(tmp_path / "model-2.safetensors", {"b": ("BF16", [2])})
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index), "utf-8")
    assert [tensor.name for tensor in read_folder(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"weight_map": {"a": "../other.safetensors"}}', "no safetensors file beside it"),
        ('{"weight_map": {"a": "weights.bin"}}', "no safetensors file beside it"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors cannot be read: No such file"),
        ('{"weight_map": []}', "holds no weight_map"),
        ("[]", "holds no weight_map"),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not JSON"),
    ],
)
def test_hostile_index_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SizingError, match=said):
        read_folder(tmp_path)


def test_tensor_in_two_files_without_an_index_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {"w": ("BF16", [1])})
    write(tmp_path / "b.safetensors", {"w": ("BF16", [1])})
    with pytest.raises(SizingError, match="'w' is in two files"):
        read_folder(tmp_path)


def entry(**changes: Any) -> bytes:
    fields = {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]} | changes
    return json.dumps({"w": fields}).encode()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"", "header would be"),
        (b"not json", "header is not JSON"),
        (b"\xff\xfe\xfd", "header is not JSON"),
        (b"[" * 50_000 + b"]" * 50_000, "header is not JSON"),
        (b"[]", "no JSON object"),
        (b'{"w": 3}', "tensor 'w' is no JSON object"),
        (b'{"w": {}, "w": {}}', "names a tensor twice"),
        (entry(data_offsets=[0]), "no two data_offsets"),
        (entry(data_offsets=[0, "8"]), "no two data_offsets"),
        (entry(data_offsets=[8, 0]), "ends before it begins"),
        (entry(data_offsets=[-8, 0]), "no two data_offsets"),
        (entry(data_offsets=[4, 12]), "begins at 4 where 0 is next"),
        (entry(data_offsets=[0, 2**40]), "tensors take 1099511627776 bytes, and the file has 8"),
        (entry(shape=[5]), "does not have the bytes of its shape"),
        (entry(shape=[2**40, 2**40]), "does not have the bytes of its shape"),
        (entry(shape=4), "lacks a dtype or a shape"),
        (entry(shape=[True]), "lacks a dtype or a shape"),
        (entry(shape=[1] * 65), "more than 64 dimensions"),
        (entry(dtype=None), "lacks a dtype or a shape"),
    ],
)
def test_hostile_header_is_refused_with_the_reason(tmp_path: Path, header: bytes, said: str) -> None:
    path = write_raw(tmp_path / "model.safetensors", header, 8 if header else 0)
    with pytest.raises(SizingError, match=said) as caught:
        read_file(path)
    assert str(caught.value).startswith("model.safetensors is no safetensors file: ")


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    both = {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}
    path = write_raw(tmp_path / "m.safetensors", json.dumps({"a": both, "b": both}).encode(), 8)
    with pytest.raises(SizingError, match="'b' begins at 0 where 8 is next"):
        read_file(path)


def test_header_longer_than_the_file_or_the_format_allows_is_not_read(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "m.safetensors", b"{}", length=2**63)
    with pytest.raises(SizingError, match="would be 9223372036854775808 bytes long"):
        read_file(path)
    path = write_raw(tmp_path / "n.safetensors", b"{}", data_bytes=2**30, length=100_000_001)
    with pytest.raises(SizingError, match="longer than 100000000"):
        read_file(path)


def test_dtype_that_came_later_is_sized_by_its_offsets(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "m.safetensors", entry(dtype="F4"), 8)
    assert read_file(path)[0].size_bytes == 8


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("junk") / "m.safetensors"
    path.write_bytes(junk)
    try:
        read_file(path)
    except SizingError:
        return
    assert json.loads(junk[8:])


@pytest.mark.parametrize(
    ("write_it", "said"),
    [
        (Path.iterdir, "config.json cannot be read: No such file"),
        (lambda path: (path / "config.json").write_text("{", "utf-8"), "config.json is not JSON"),
        (lambda path: (path / "config.json").write_text("[1]", "utf-8"), "must hold an object"),
        (lambda path: (path / "config.json").write_text(" " * 10_000_001, "utf-8"), "longer than 10000000"),
    ],
)
def test_folder_without_a_sound_config_is_refused(tmp_path: Path, write_it: Any, said: str) -> None:
    write_it(tmp_path)
    with pytest.raises(SizingError, match=said):
        find_model(tmp_path)


def test_single_file_is_sized_with_the_config_beside_it(tmp_path: Path) -> None:
    folder(tmp_path, {"a": ("BF16", [7])}, TINY)
    assert weight_bytes(find_model(tmp_path / "model.safetensors"), "bfloat16") == 14


def test_config_alone_is_sized_by_its_parameters(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), "utf-8")
    assert weight_bytes(find_model(tmp_path / "config.json"), "bfloat16") == 2 * 8_030_261_248


@pytest.mark.parametrize("name", ["./gone", "/gone", "gone.safetensors", "gone.json"])
def test_missing_path_is_said_to_be_missing(name: str) -> None:
    with pytest.raises(SizingError, match="does not exist"):
        find_model(name)


def test_unknown_name_says_what_to_give_instead() -> None:
    with pytest.raises(SizingError, match=r"neither a path nor among the known ones .*--list-models"):
        find_model("nobody/nothing")


MULTIMODAL = ("google/gemma-3-4b-it", "google/gemma-3-12b-it", "google/gemma-3-27b-it")


@pytest.mark.parametrize("name", known_models())
def test_counted_parameters_are_the_publishers_to_the_unit(name: str) -> None:
    """Two independent figures: the sum over the shape, and the total that the publisher states."""
    model = find_model(name)
    counted = count_parameters(model.shape).total
    if name in MULTIMODAL:  # the rest is the encoder of images, 417 million parameters, and its projection
        assert model.parameters.other == pytest.approx(417e6, rel=0.02)
    else:
        assert counted == model.parameters.total
    assert model.source.startswith("https://huggingface.co/")
    assert model.as_of is not None


def test_aliases_name_the_same_model_in_any_case() -> None:
    alias = find_model("META-LLAMA/llama-3.1-70b")
    assert alias.shape == find_model("meta-llama/Llama-3.3-70B-Instruct").shape


def test_given_total_makes_up_for_what_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), "utf-8")
    assert find_model(tmp_path, parameters=10**10).parameters.total == 10**10


@pytest.mark.parametrize(
    ("name", "bytes_per_weight"),
    [("fp8", 1.0), ("int8", 1.0), ("int4", 0.5 + (16 + 4) / 128 / 8)],
)
def test_quantised_size_is_bits_and_scales_but_for_embedding_and_head(
    name: str, bytes_per_weight: float
) -> None:
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    parts = model.parameters
    narrow = parts.linear + parts.kv_projection
    expected = narrow * bytes_per_weight + (parts.total - narrow) * 2
    assert weight_bytes(model.quantized(quantization(name)), "bfloat16") == pytest.approx(expected)


def test_shares_of_all_gpus_are_the_whole_and_what_is_on_each_of_them() -> None:
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    whole, small = weight_bytes(model, "bfloat16"), 2 * model.parameters.replicated
    for tensor in (1, 2, 4, 8):
        held = gpu_weight_bytes(model, "bfloat16", Split(tensor))
        assert held * tensor == pytest.approx(whole + (tensor - 1) * small, rel=1e-6)


def test_kv_projections_are_repeated_where_gpus_outnumber_heads() -> None:
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    eight, sixteen = (gpu_weight_bytes(model, "bfloat16", Split(size)) for size in (8, 16))
    kept = 2 * (model.parameters.kv_projection / 8 + model.parameters.replicated)
    assert sixteen == pytest.approx((eight - kept) / 2 + kept, rel=1e-6)


def test_first_stage_has_the_embedding_and_the_last_the_head() -> None:
    model = find_model("Qwen/Qwen3-14B")
    first, second, last = (gpu_weight_bytes(model, "bfloat16", Split(1, 3), stage) for stage in range(3))
    assert stage_layers(40, 3) == [13, 14, 13]
    assert first == last
    assert second == pytest.approx(14 / 13 * (first - 2 * model.parameters.embedding), rel=1e-6)


def test_tied_embedding_is_on_the_first_stage_and_on_the_last() -> None:
    model = find_model("Qwen/Qwen3-0.6B")
    stages = [gpu_weight_bytes(model, "bfloat16", Split(1, 2), stage) for stage in range(2)]
    assert sum(stages) == pytest.approx(weight_bytes(model, "bfloat16") + 2 * model.parameters.embedding)


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 3, "does not divide the 28 attention heads; these work: 1, 2, 4$"),
        ("Qwen/Qwen2.5-7B-Instruct", 14, "neither divides the 4 KV heads nor is a multiple"),
        ("Qwen/Qwen2.5-7B-Instruct", 28, "does not divide the vocabulary of 152064"),
        ("meta-llama/Llama-3.1-8B-Instruct", 0, "1 or more"),
    ],
)
def test_split_that_does_not_divide_the_model_says_which_do(name: str, tensor: int, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        check_split(find_model(name).shape, Split(tensor))


def test_split_of_a_block_quantised_model_keeps_whole_blocks() -> None:
    config = LLAMA | {
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 1536,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }
    assert tensor_sizes(read_config(config), 16) == [1, 2, 4]
    with pytest.raises(SizingError, match="1536 / 8 is no multiple of the quantisation's 128"):
        check_split(read_config(config), Split(8))


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(SizingError, match="has 32 layers; give 1 to 32"):
        check_split(read_config(LLAMA), Split(1, 33))


def test_model_of_the_disk_is_a_model(tmp_path: Path) -> None:
    model = find_model(folder(tmp_path, {"a": ("BF16", [7])}, TINY))
    assert isinstance(model, Model)
    assert model.source == "config.json and safetensors headers"
