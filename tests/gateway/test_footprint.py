"""What a gateway loads: libraries of features that it does not use cost every process their memory."""

from __future__ import annotations

import subprocess
import sys

# The stores', TLS's and sessions', the pages', traces' and webhooks'.
_HEAVY = ("sqlalchemy", "cryptography", "jinja2", "opentelemetry", "httpx")
_SERVED = """
import sys
from lmaas_gateway.app import Gateway
from lmaas_gateway.server import serve_socket
from lmaas_gateway.settings import Settings
models = [{"name": "m", "kind": "chat", "replicas": [{"url": "http://127.0.0.1:9"}]}]
Gateway(Settings.model_validate({"open": True, "admin_key": "sk-operator-of-tests-0000", "models": models}))
print(*sorted(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_gateway_without_a_store_or_visitors_loads_none_of_their_libraries() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SERVED, *_HEAVY, "msgspec"], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["msgspec"]
