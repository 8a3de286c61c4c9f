"""One client over two platforms, of which the first is down: the call moves on, and says why."""

import os

from lmaas import LMaaS
from lmaas.routing import Endpoint, Strategy

base_url = os.environ.get("LMAAS_BASE_URL", "http://127.0.0.1:8000/v1")
platforms = [
    Endpoint(name="down", base_url="http://127.0.0.1:9", models={"chat": "any"}),
    Endpoint(
        name="ours",
        base_url=base_url,
        api_key=os.environ.get("LMAAS_API_KEY"),
        models={"chat": "smollm2-135m-instruct"},
    ),
]
with LMaaS(platforms=platforms, strategy=Strategy(by="order", on_route=print)) as client:
    answer = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "Say hello."}], max_tokens=12
    )
    print(answer.choices[0].message.content)
    print(f"{answer.lmaas_metadata.platform}: {answer.lmaas_metadata.reason}")
