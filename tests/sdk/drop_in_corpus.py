"""Programs for openai-python as its users write them, each a few lines that print what they see.

Written after the public API's documented usage, in our own words. `MODEL` stands for a model's name. What
servers fill in at will (ids, times) is not printed.
"""

from __future__ import annotations

CHAT = """
from openai import OpenAI

client = OpenAI()
messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say three words"}]
"""

PROGRAMS = {
    "chat": CHAT
    + """
completion = client.chat.completions.create(model=MODEL, messages=messages)
print(completion.choices[0].message.content, completion.choices[0].finish_reason)
print(completion.choices[0].message.role, completion.object, completion.model)
""",
    "usage": CHAT
    + """
usage = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=2).usage
print(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
print(usage.prompt_tokens_details.cached_tokens)
""",
    "sampling parameters": CHAT
    + """
completion = client.chat.completions.create(
    model=MODEL, messages=messages, temperature=0.2, top_p=0.9, max_completion_tokens=5, seed=7, stop=["END"],
    presence_penalty=0.1, frequency_penalty=0.1, logit_bias={"50": -100}, user="u-1", n=2,
)
print(len(completion.choices), [choice.index for choice in completion.choices])
""",
    "answer goes back into the conversation": CHAT
    + """
first = client.chat.completions.create(model=MODEL, messages=messages)
messages.append(first.choices[0].message)
messages.append({"role": "user", "content": "And then?"})
print(client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content)
""",
    "stream loop": CHAT
    + """
stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True, max_tokens=4)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content is not None:
        print(chunk.choices[0].delta.content, end="|")
""",
    "stream with usage": CHAT
    + """
stream = client.chat.completions.create(
    model=MODEL, messages=messages, stream=True, max_tokens=4, stream_options={"include_usage": True}
)
for chunk in stream:
    if chunk.usage:
        print(chunk.usage.total_tokens, chunk.choices)
""",
    "stream as a context": CHAT
    + """
with client.chat.completions.create(model=MODEL, messages=messages, stream=True, max_tokens=4) as stream:
    first = next(iter(stream))
    print(first.choices[0].delta.role, first.object)
""",
    "stream closed early": CHAT
    + """
stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
for chunk in stream:
    break
stream.close()
print("closed")
""",
    "stream of events": CHAT
    + """
with client.chat.completions.stream(model=MODEL, messages=messages) as stream:
    for event in stream:
        if event.type == "content.delta" and event.delta:
            print(event.delta, event.snapshot)
        elif event.type == "content.done":
            print("done", event.content)
    completion = stream.get_final_completion()
print(completion.choices[0].message.content, completion.choices[0].finish_reason)
""",
    "tools are called": CHAT
    + """
tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
import json
body = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [
    {"index": 0, "finish_reason": "tool_calls",
     "message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}
completion = client.chat.completions.create(
    model=MODEL, messages=messages, tools=tools, tool_choice="auto", parallel_tool_calls=True,
    extra_body={"fake": {"body": json.dumps(body)}},
)
message = completion.choices[0].message
print(message.content, completion.choices[0].finish_reason)
for call in message.tool_calls:
    print(call.id, call.type, call.function.name, json.loads(call.function.arguments))
messages.append(message)
messages.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "42"})
print(client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content)
""",
    "answer parsed into a model": CHAT
    + """
from pydantic import BaseModel

class Step(BaseModel):
    explanation: str
    output: int

import json
completion = client.chat.completions.parse(
    model=MODEL, messages=messages, response_format=Step,
    extra_body={"fake": {"text": json.dumps({"explanation": "e", "output": 4}), "tokens": 4}},
)
step = completion.choices[0].message.parsed
print(type(step).__name__, step.explanation, step.output)
""",
    "json mode": CHAT
    + """
completion = client.chat.completions.create(
    model=MODEL, messages=messages, response_format={"type": "json_object"}
)
print(completion.choices[0].message.content)
""",
    "content in parts": CHAT
    + """
parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
print(completion.choices[0].message.content)
""",
    "dumps": CHAT
    + """
import json
completion = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=2)
print(completion.model_dump()["choices"][0]["message"]["content"])
print(json.loads(completion.model_dump_json())["choices"][0]["finish_reason"])
print(completion.to_dict()["choices"][0]["message"]["content"])
print(json.loads(completion.to_json())["model"])
""",
    "text completion": CHAT
    + """
completion = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=3)
print(completion.choices[0].text, completion.choices[0].finish_reason)
for chunk in client.completions.create(model=MODEL, prompt="Once upon", max_tokens=2, stream=True):
    print(chunk.choices[0].text)
""",
    "response": CHAT
    + """
response = client.responses.create(model=MODEL, input="Say three words", instructions="Be brief.")
print(response.output_text, response.status, response.output[0].content[0].text)
print(response.usage.input_tokens, response.usage.output_tokens)
""",
    "response streamed": CHAT
    + """
for event in client.responses.create(model=MODEL, input="Say three words", stream=True, max_output_tokens=3):
    if event.type == "response.output_text.delta":
        print(event.delta)
    else:
        print(event.type)
""",
    "models": CHAT
    + """
models = client.models.list()
for model in models:
    print(model.id, model.object, model.owned_by)
print([model.id for model in models.data])
""",
    "environment and options of a client": """
import os
from openai import OpenAI

client = OpenAI(
    api_key=os.environ["OPENAI_API_KEY"], base_url=os.environ["OPENAI_BASE_URL"], timeout=20.0, max_retries=1,
    default_headers={"x-mine": "1"}, default_query={"q": "1"},
)
print(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}]).object)
print(client.max_retries, str(client.base_url).startswith("http://"))
""",
    "timeouts of httpx": CHAT
    + """
import httpx, openai
from openai import OpenAI
Timeout = getattr(openai, "Timeout", httpx.Timeout)

patient = OpenAI(timeout=Timeout(60.0, connect=2.0) if TIMEOUT is None else TIMEOUT, max_retries=0)
print(patient.chat.completions.create(model=MODEL, messages=messages).object)
try:
    client.with_options(timeout=0.2, max_retries=0).chat.completions.create(
        model=MODEL, messages=messages, extra_body={"fake": {"headers_delay_s": 5}}
    )
except openai.APITimeoutError as error:
    print(type(error).__name__, isinstance(error, openai.APIConnectionError))
""",
    "other options for one call": CHAT
    + """
other = client.with_options(max_retries=0, timeout=5)
print(other.chat.completions.create(model=MODEL, messages=messages).object)
print(client.chat.completions.create(model=MODEL, messages=messages, timeout=5).object)
""",
    "extra parts of a call": CHAT
    + """
completion = client.chat.completions.create(
    model=MODEL, messages=messages, max_tokens=2, extra_body={"top_k": 5, "min_p": 0.1},
    extra_headers={"x-mine": "1"}, extra_query={"q": "1"},
)
print(completion.choices[0].message.content)
""",
    "request id": CHAT
    + """
completion = client.chat.completions.create(model=MODEL, messages=messages)
print(isinstance(completion._request_id, str))
""",
    "retries until it works": CHAT
    + """
failing = {"fake": {"status": 500, "headers": [["retry-after-ms", "1"]]}}
import openai
try:
    client.with_options(max_retries=1).chat.completions.create(
        model=MODEL, messages=messages, extra_body=failing
    )
except openai.InternalServerError as error:
    print(error.status_code, isinstance(error, openai.APIStatusError))
""",
    "no connection": """
import openai
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:1/v1", max_retries=0)
try:
    client.models.list()
except openai.APIConnectionError as error:
    print(type(error).__name__, isinstance(error, openai.APIError))
""",
    "missing model": CHAT
    + """
import openai
try:
    client.chat.completions.create(model="none-such", messages=messages)
except openai.NotFoundError as error:
    print(error.status_code, error.type, error.param, error.code)
    print(isinstance(error.request_id, str), "none-such" in error.message)
""",
    "asynchronous": """
import asyncio
from openai import AsyncOpenAI

async def main():
    async with AsyncOpenAI() as client:
        messages = [{"role": "user", "content": "Say three words"}]
        completion = await client.chat.completions.create(model=MODEL, messages=messages)
        print(completion.choices[0].message.content)
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        async for chunk in stream:
            print(chunk.choices[0].delta.content or "", end="|")
        async with client.chat.completions.stream(model=MODEL, messages=messages) as events:
            async for event in events:
                if event.type == "content.done":
                    print(event.content)
        print([model.id async for model in client.models.list()])
        print([model.id for model in (await client.models.list()).data])

asyncio.run(main())
""",
    "asynchronous side by side": """
import asyncio
from openai import AsyncOpenAI

async def ask(client, word):
    completion = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": word}], max_tokens=1
    )
    return completion.choices[0].message.content

async def main():
    client = AsyncOpenAI()
    print(await asyncio.gather(*(ask(client, word) for word in ["one", "two", "three"])))
    await client.close()

asyncio.run(main())
""",
    "client as a context": """
from openai import OpenAI

with OpenAI() as client:
    print(client.models.list().object)
""",
    "client of one's own": """
import httpx
from openai import OpenAI

client = OpenAI(http_client=HTTPX.Client(headers={"x-mine": "1"}))
print(client.models.list().data[0].object)
client.close()
""",
}
"""A chat model answers these."""

EMBEDDING_PROGRAMS = {
    "embeddings": """
from openai import OpenAI

client = OpenAI()
reply = client.embeddings.create(model=MODEL, input=["one", "two"])
print(len(reply.data), reply.data[1].index, reply.object, len(reply.data[0].embedding))
print([round(value, 6) for value in reply.data[0].embedding[:4]], reply.usage.total_tokens)
""",
    "embeddings as floats": """
from openai import OpenAI

reply = OpenAI().embeddings.create(model=MODEL, input="one", encoding_format="float")
print([round(value, 6) for value in reply.data[0].embedding[:4]], reply.model)
""",
    "embeddings as base64": """
import base64, struct
from openai import OpenAI

data = OpenAI().embeddings.create(model=MODEL, input="one", encoding_format="base64").data[0].embedding
print(struct.unpack("<2f", base64.b64decode(data)[:8]))
""",
}
"""An embedding model answers these."""

STATUSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
}

STATUS_PROGRAM = (
    CHAT
    + """
import openai
try:
    client.with_options(max_retries=0).chat.completions.create(
        model=MODEL, messages=messages, extra_body={"fake": {"status": STATUS}}
    )
except openai.NAME as error:
    print(type(error).__name__, error.status_code, error.type, error.code)
    print(isinstance(error, openai.APIStatusError), isinstance(error, openai.APIError))
"""
)
"""Each status has its class, under the same name."""
