"""Ask a chat model one question.

Run: python examples/chat.py [MODEL] [QUESTION]
"""

from __future__ import annotations

import sys

from lmaas import LMaaS


def main(model: str = "smollm2-135m-instruct", question: str = "What is the capital of France?") -> None:
    """Print the answer and what it cost in tokens."""
    with LMaaS() as client:  # LMAAS_BASE_URL and LMAAS_API_KEY say where and as whom
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=64,
            temperature=0,
        )
    print(answer.choices[0].message.content)
    if answer.usage is not None:
        print(f"[{answer.usage.prompt_tokens} + {answer.usage.completion_tokens} tokens]")


if __name__ == "__main__":
    main(*sys.argv[1:])
