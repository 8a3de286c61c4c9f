"""Measure the server at LMAAS_BASE_URL under a small workload, at two rates.

Run: python examples/measure.py [WORKLOAD] [SECONDS]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lmaas.measuring import BenchPlan, Target, Workload, measure

WORKLOAD = Path(__file__).with_name("workload.yaml")
HERE = "http://127.0.0.1:8000/v1"


def main(workload: str = str(WORKLOAD), seconds: str = "4") -> None:
    """Print time to first token and goodput at each rate, with their 95 % intervals."""
    plan = BenchPlan(
        targets=(Target(label="here", base_url=os.environ.get("LMAAS_BASE_URL", HERE), is_self_hosted=True),),
        workload=Workload.load(workload),
        rates=(1.0, 3.0),
        blocks=1,
        warmup_s=1.0,
        measured_s=float(seconds),
    )
    report = measure(plan)
    for measurement in report.measurements:
        for level in measurement.levels:
            ttft = level.ttft_s.p50 if level.ttft_s else None
            first = f"{ttft.value * 1e3:.0f} ms" if ttft else "nothing"
            print(
                f"{level.offered_per_s:g} calls/s: {first} to the first token, median of {level.calls} calls;"
            )
            print(f"  goodput {level.goodput_per_s.value:.2f}/s; errors {level.error_rate.value:.0%}")
        best = measurement.best_sustained
        print(
            f"sustained within the limits: {best.offered_per_s:g} calls/s"
            if best
            else "the limits were not kept"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
