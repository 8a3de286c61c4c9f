"""Models to size: well-known ones as data, and any whose config.json, and at best weights, are at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lmaas.sizing._config import read_config
from lmaas.sizing._errors import SizingError
from lmaas.sizing._json import read_json
from lmaas.sizing._parameters import Parameters, count_parameters
from lmaas.sizing._quantization import Quantization
from lmaas.sizing._safetensors import StoredTensor, read_file, read_folder
from lmaas.sizing._shape import ModelShape

_LONGEST_CONFIG_BYTES = 10_000_000
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_NOT_LOADED = ("rotary_emb.inv_freq", "position_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model with what is known of its size.

    Attributes:
        name: As `vllm serve` is given it.
        shape: Of its config.json.
        parameters: How many, and where they lie.
        stored: Its tensors, where weights are at hand: then bytes are exact.
        source: Where the shape comes from.
        as_of: When that was read.
    """

    name: str
    shape: ModelShape
    parameters: Parameters
    stored: tuple[StoredTensor, ...] = ()
    source: str
    as_of: date | None = None

    def quantized(self, quantization: Quantization) -> Model:
        """Return it as if its linear weights were stored so; their bytes are then computed, not read."""
        return replace(self, shape=replace(self.shape, quantization=quantization), stored=())


def known_models() -> tuple[str, ...]:
    """Return the names that need no file."""
    return tuple(row["name"] for row in _table()["models"])


def find_model(reference: str | Path, *, parameters: int | None = None) -> Model:
    """Find a model to size.

    Args:
        reference: A folder with a config.json and, at best, safetensors; such a file; or a known name.
        parameters: How many it has, for architectures whose parameters are not counted here.

    Raises:
        SizingError: there is no such file or name, or the files make no sense.
    """
    path = Path(reference)
    if _exists(path):
        model = _from_path(path)
    elif path.suffix in {".json", ".safetensors"} or str(reference).startswith(("/", ".", "~")):
        raise SizingError(f"{reference} does not exist")
    else:
        model = _known(str(reference))
    if parameters is None:
        return model
    return replace(model, parameters=model.parameters.with_total(parameters))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name, or below a folder that may not be read
        return False


@cache
def _table() -> dict[str, Any]:
    text = (files("lmaas.sizing") / "data" / "models.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def _known(name: str) -> Model:
    wanted = name.casefold()
    for row in _table()["models"]:
        if wanted in {known.casefold() for known in (row["name"], *row.get("aliases", ()))}:
            shape = read_config(row["config"], kind=row.get("kind"))
            return Model(
                name=name,
                shape=shape,
                parameters=count_parameters(shape).with_total(row["parameters"]),
                source=row["source"],
                as_of=date.fromisoformat(_table()["as_of"]),
            )
    raise SizingError(
        f"model {name!r} is neither a path nor among the known ones (`lmaas size --list-models`); "
        "give the folder of its weights, or its config.json"
    )


def _from_path(path: Path) -> Model:
    folder = path if path.is_dir() else path.parent
    config = path if path.suffix == ".json" else folder / "config.json"
    shape = read_config(read_json(config, _LONGEST_CONFIG_BYTES))
    stored: Sequence[StoredTensor] = ()
    if path.is_dir():
        stored = read_folder(path)
    elif path.suffix == ".safetensors":
        stored = read_file(path)
    return Model(
        name=str(path if path.is_dir() else folder),
        shape=shape,
        parameters=count_parameters(shape),
        stored=tuple(tensor for tensor in stored if _is_loaded(tensor, shape)),
        source=config.name if not stored else f"{config.name} and safetensors headers",
    )


def _is_loaded(tensor: StoredTensor, shape: ModelShape) -> bool:
    """Say whether vLLM keeps a tensor: not a tied copy, and not the layers that only drafts are made with."""
    if tensor.name.endswith(_NOT_LOADED) or tensor.name.startswith("mtp."):
        return False
    if shape.tie_word_embeddings and tensor.name.endswith("lm_head.weight"):
        return False
    layer = _LAYER.search(tensor.name)
    return layer is None or int(layer[1]) < max(shape.num_layers, 1)
