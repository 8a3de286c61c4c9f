"""What the engines that were launched here take of this machine: CPU, memory, GPUs.

`processes.py` looks at processes, `gpus.py` asks NVIDIA's tool, `watch.py` puts both into the metrics.
"""

from lmaas_gateway.host.watch import Engine, HostWatch

__all__ = ["Engine", "HostWatch"]
