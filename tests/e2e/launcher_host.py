"""A process that launches the models named on its command line, so that a test can kill it.

It prints a JSON line at each change of a replica: model, state, pid, restarts.
"""

from __future__ import annotations

import asyncio
import json
import sys

from lmaas_gateway.replicas.launcher import Launcher
from lmaas_gateway.settings import ModelSettings, load_settings


def tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


async def main() -> None:
    settings = load_settings()
    models = tuple(ModelSettings(name=name, model=name) for name in sys.argv[1:])
    engine = settings.engine.model_copy(update={"restart_backoff_s": 0.1})
    launcher = Launcher(models, engine, None, settings.cache_dir, report=tell)
    await launcher.start()
    told: dict[str, str] = {}
    while True:
        for model in models:
            status = launcher.status(model.name)[0]
            change = {
                "model": model.name,
                "state": status.state,
                "pid": status.pid,
                "restarts": status.restarts,
            }
            if told.get(model.name) != (line := json.dumps(change)):
                told[model.name] = line
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())
