"""What the gateway counts, and how Prometheus gets it.

`names.py` holds every name with its labels; `recorder.py` counts; `fleet.py` reads the gauges of replicas;
`exposition.py` writes all of it for Prometheus.
"""

from lmaas_gateway.metrics.recorder import Metrics

__all__ = ["Metrics"]
