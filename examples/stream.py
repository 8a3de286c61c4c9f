"""Print an answer while it is being made.

Run: python examples/stream.py [MODEL] [QUESTION]
"""

from __future__ import annotations

import sys

from lmaas import LMaaS, StreamError


def main(model: str = "smollm2-135m-instruct", question: str = "Tell me a very short story.") -> None:
    """Print the pieces as they come; an answer that does not come whole is an error, never a short answer."""
    with (
        LMaaS() as client,
        client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=64,
            temperature=0,
            stream=True,
        ) as stream,
    ):
        try:
            for chunk in stream:
                for choice in chunk.choices:
                    print(choice.delta.content or "", end="", flush=True)
        except StreamError as error:
            sys.exit(f"\nThe answer is not whole: {error}")
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
