from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdk.hostile import CHAT_BODY, Connection, reply, serving

DOC = Path(__file__).parents[2] / "docs" / "sdk-calls.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
PRINTED = [
    "1 models\n",
    "GET /v1/models/m1 200 True\n",
    "Cost(amount=Decimal('0.0000011'), currency='USD', source='our GPUs, 60 % busy'",
    "50\n",
]


def platform(connection: Connection) -> None:
    while (request := connection.receive()) is not None:
        path = request.line.split()[1]
        body = {"/v1/models": b'{"data": [{"id": "m1"}]}', "/v1/models/m1": b'{"id": "m1"}'}
        connection.send(reply(body.get(path, CHAT_BODY)))


@pytest.mark.parametrize(("block", "printed"), list(zip(BLOCKS, PRINTED, strict=True)))
def test_code_of_the_page_runs(
    block: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(platform) as server:
        monkeypatch.setenv("LMAAS_BASE_URL", server.url)
        exec(compile(block, str(DOC), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.startswith(printed)


def test_each_option_and_what_it_needs_stands_on_the_page() -> None:
    text = DOC.read_text()
    words = ["circuit_breaker", "hedge_after_s", "middleware", "attempt_middleware", "telemetry", "prices"]
    words += ["LMAAS_LOG", "lmaas[aiohttp]", "lmaas[telemetry]", "lmaas[prices]", "CircuitOpenError"]
    assert [word for word in words if word not in text] == []
