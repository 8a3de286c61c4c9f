"""Make a call that may be sent twice and runs once: both tries get the same reply.

Run: python examples/retry_safely.py [MODEL]
"""

from __future__ import annotations

import sys
from uuid import uuid4

from lmaas import LMaaS, UnprocessableEntityError


def main(model: str = "smollm2-135m-instruct") -> None:
    """Print the ids of both replies, then what becomes of the key with another question."""
    key = {"Idempotency-Key": f"order-4711-{uuid4()}"}  # in earnest, stored with the order itself
    with LMaaS() as client:
        first, again = (ask(client, model, "Name a colour.", key) for _ in range(2))
        print(f"{first}\n{again}\n{'one run' if first == again else 'two runs'}")
        try:
            ask(client, model, "Name a fruit.", key)
        except UnprocessableEntityError as error:
            print(error.code)


def ask(client: LMaaS, model: str, question: str, key: dict[str, str]) -> str:
    """Return the id of the answer, which is another one for each run."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        max_tokens=8,
        extra_headers=key,
    )
    return answer.id


if __name__ == "__main__":
    main(*sys.argv[1:])
