"""Write the reference pages of docs/ from the code, so that they cannot disagree with it.

python -m lmaas_gateway.docs [--check] [FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lmaas_gateway import __version__, errors
from lmaas_gateway.api.openapi import admin_document
from lmaas_gateway.call import ROUTES
from lmaas_gateway.identity.roles import PERMISSIONS, Permission
from lmaas_gateway.metrics import names
from lmaas_gateway.settings import (
    FIXED,
    AdminSettings,
    AlertSettings,
    AuditSettings,
    BooksSettings,
    CacheSettings,
    CanaryPrompt,
    CanarySettings,
    ConnectionSettings,
    ContentSettings,
    DashboardSettings,
    EjectionSettings,
    EngineSettings,
    Expectation,
    IdempotencySettings,
    IdentitySettings,
    IssuerSettings,
    KeySettings,
    LatencyObjective,
    LimitSettings,
    LogFileSettings,
    MediaSettings,
    ModelSettings,
    ObjectiveSettings,
    PolicySettings,
    PriceSettings,
    QualitySettings,
    QueueSettings,
    QuotaSettings,
    RecordSettings,
    ReplicaSettings,
    RetrySettings,
    Settings,
    ShareObjective,
    StorageSettings,
    TimeoutSettings,
    TlsSettings,
    TracingSettings,
    WebhookSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic.fields import FieldInfo

_NOTE = "<!-- Written by `make docs` from {source}; edit it there. -->"
_BEGINNING = """\
One YAML file (`lmaas serve --config FILE`, or `LMAAS_CONFIG`), then `LMAAS_*` environment variables, then
command-line flags; the later wins. A setting that cannot work stops the start with a sentence that says what
to do. A change of the file takes effect while the gateway runs (docs/operating.md), but for settings marked
*Fixed*, which need a restart.

```yaml
models:
  - name: chat                       # the public name
    model: smollm2-135m-instruct     # catalogue name, folder or hub id
    replicas: 2                      # launched here …
  - name: remote
    kind: chat
    replicas:                        # … or already running
      - url: http://127.0.0.1:9001
timeouts:
  first_byte_s: 60
```

In the environment `LMAAS_MODELS` is a list of names with commas between them, or JSON; a group's setting is
written with two underscores, as `LMAAS_TIMEOUTS__FIRST_BYTE_S=60`.
"""
# Their titles, what is in them, and their part of a variable's name; None where no variable reaches it.
_TABLES: tuple[tuple[str, type[BaseModel], str | None], ...] = (
    ("The gateway", Settings, ""),
    ("`timeouts`: deadlines of a call towards a replica", TimeoutSettings, "timeouts"),
    ("`queue`: in front of each model's replicas", QueueSettings, "queue"),
    ("`keys`: one entry each", KeySettings, None),
    ("`identity`: keys and tokens of tenants", IdentitySettings, "identity"),
    ("`identity.issuers`: identity providers, one entry each", IssuerSettings, None),
    ("`keys[].limits` and `models[].limits`: what a subject may use", QuotaSettings, None),
    ("`limits`: how limits are kept", LimitSettings, "limits"),
    ("`idempotency`: replies kept for retries with an `Idempotency-Key`", IdempotencySettings, "idempotency"),
    ("`cache`: replies kept for equal calls", CacheSettings, "cache"),
    ("`retries`: trying other replicas", RetrySettings, "retries"),
    ("`ejection`: leaving bad replicas out", EjectionSettings, "ejection"),
    ("`policy`: what callers may ask", PolicySettings, "policy"),
    ("`media`: images, audio and video in calls", MediaSettings, "media"),
    ("`connections`: those of clients", ConnectionSettings, "connections"),
    ("`admin`: a listener of its own for the admin API", AdminSettings, "admin"),
    ("`dashboard`: the pages at `/ui`", DashboardSettings, "dashboard"),
    ("`books`: the record of every call", BooksSettings, "books"),
    ("`records`: explaining single calls", RecordSettings, "records"),
    ("`quality`: looking at a sample of replies", QualitySettings, "quality"),
    ("`canary_prompts`: prompts that are sent now and then, one entry each", CanaryPrompt, None),
    ("`canary_prompts[].expect`: what the reply must be like", Expectation, None),
    ("`log_file`: a file for log lines", LogFileSettings, "log_file"),
    ("`storage`: keys, limits, books and audit", StorageSettings, "storage"),
    ("`audit`: signing the audit trail", AuditSettings, "audit"),
    ("`contents`: prompts and replies that are kept", ContentSettings, "contents"),
    ("`tracing`: for OpenTelemetry", TracingSettings, "tracing"),
    ("`tls`: HTTPS and client certificates", TlsSettings, "tls"),
    ("`engine`: launched vLLM processes", EngineSettings, "engine"),
    ("`models`: one entry each", ModelSettings, None),
    ("`models[].canary`: a share of a model's calls", CanarySettings, None),
    ("`models[].price`: what a model's calls cost", PriceSettings, None),
    ("`models[].replicas`: replicas that already run", ReplicaSettings, None),
    ("`models[].slo`: what a model promises", ObjectiveSettings, None),
    ("`models[].slo.ttft` and `models[].slo.inter_token`: how quick it is", LatencyObjective, None),
    ("`models[].slo.error_rate` and `models[].slo.availability`: how much is well", ShareObjective, None),
    ("`alerts`: when there is one, and who is told", AlertSettings, "alerts"),
    ("`alerts.webhooks`: one entry each", WebhookSettings, None),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with `--check` tell which are out of date (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m lmaas_gateway.docs", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"))
    options = parser.parse_args(arguments)
    stale = []
    for name, text in pages().items():
        path = options.folder / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(str(path))
        if not options.check:
            path.write_text(text, "utf-8")
    if stale and options.check:
        sys.stderr.write(f"out of date, run `make docs`: {', '.join(stale)}\n")
        return 1
    return 0


def pages() -> dict[str, str]:
    """Write every generated page, by file name."""
    return {
        "admin-api.md": "\n".join(_admin_api()) + "\n",
        "configuration.md": "\n".join(_configuration()) + "\n",
        "errors.md": "\n".join(_errors()) + "\n",
        "metrics.md": "\n".join(_metrics()) + "\n",
    }


def _configuration() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield _NOTE.format(source="gateway/lmaas_gateway/settings/")
    yield ""
    yield from _BEGINNING.splitlines()
    for title, model, group in _TABLES:
        yield from _settings_table(title, model, group)


def _settings_table(title: str, model: type[BaseModel], group: str | None) -> Iterator[str]:
    """One row a setting; `group` is its part of the variable's name, None where no variable reaches it."""
    yield ""
    yield f"## {title}"
    yield ""
    variable = group is not None
    yield "| setting | default | what it does |" + (" variable |" if variable else "")
    yield "| --- | --- | --- |" + (" --- |" if variable else "")
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        row = f"| `{name}` | {_default(field)} | {field.description}{_note(field, group)} |"
        prefix = f"LMAAS_{group.upper()}__" if group else "LMAAS_"
        yield row + (f" `{prefix}{name.upper()}` |" if variable else "")


def _note(field: FieldInfo, group: str | None) -> str:
    whole = Settings.model_fields[group] if group else field
    return " *Fixed.*" if FIXED in (field.json_schema_extra, whole.json_schema_extra) else ""


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, (), {}, ""):
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _admin_api() -> Iterator[str]:
    document = admin_document(__version__)
    yield "# The admin API"
    yield ""
    yield _NOTE.format(source="gateway/lmaas_gateway/administration/ and api/openapi.py")
    yield ""
    yield "`/admin/v1/` is JSON over HTTP, described by OpenAPI 3.1 at `/admin/v1/openapi.json`; the inference routes are at"
    yield "`/openapi.json`. `lmaas keys|projects|members|organizations|limits|usage|audit|contents` ([cli.md](cli.md)) and"
    yield "`client.admin` ([sdk-admin.md](sdk-admin.md)) call it; [operating.md](operating.md) walks through it."
    yield ""
    yield "It takes the same headers as calls. **Operators** hold `admin_key` of the configuration: they stand above organizations,"
    yield "and name the one that they mean with `?organization=` where there are several. All **others** come with a key whose"
    yield "scopes have a role in `admin`, or with a token of their sign-on, and act inside their organization: what belongs to"
    yield "another does not exist (404). A role that is bound to a project ends there. What each role may do:"
    yield ""
    yield "| permission | " + " | ".join(PERMISSIONS) + " |"
    yield "| --- |" + " --- |" * len(PERMISSIONS)
    for permission in get_args(Permission):
        marks = ("yes" if permission in held else "" for held in PERMISSIONS.values())
        yield f"| `{permission}` | " + " | ".join(marks) + " |"
    yield ""
    yield 'Listings are pages: `{"object": "list", "data": […], "has_more": true, "last_id": "…"}`; the next one begins at'
    yield "`?after=` that id, and `?limit=` says how long a page is. What a schema does not have is refused, in bodies and queries."
    yield "Errors are those of [errors.md](errors.md). Creations take an `Idempotency-Key`: sent again, they make nothing twice."
    yield "Times are Unix seconds, money is in billionths of a US dollar. Each change stands in the audit trail, written in the"
    yield "same transaction."
    yield ""
    yield "| request | needs | does |"
    yield "| --- | --- | --- |"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            needs = operation["description"].removeprefix("Needs: ").removesuffix(".")
            shown = f"`{needs}`" if ":" in needs else needs
            yield f"| `{method.upper()} {path}` | {shown} | {operation['summary']} |"
    for name, schema in sorted(document["components"]["schemas"].items()):
        if schema.get("properties") and not name.endswith("List") and name != "Error":
            yield from _schema_table(name, schema)


def _schema_table(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield schema["description"]
    yield ""
    yield "| field | type | default | what it says |"
    yield "| --- | --- | --- | --- |"
    for field, described in schema["properties"].items():
        default = (
            "required" if field in schema["required"] else _literal(described.get("default", "unchanged"))
        )
        said = described.get("description", "").replace("|", "\\|")
        yield f"| `{field}` | {_type(described)} | {default} | {said} |"


def _literal(value: object) -> str:
    return "unchanged" if value == "unchanged" else f"`{json.dumps(value)}`"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", "anything"))


def _errors() -> Iterator[str]:
    yield "# Errors"
    yield ""
    yield _NOTE.format(source="gateway/lmaas_gateway/errors.py")
    yield ""
    yield "Every answer that is not 2xx holds OpenAI's error object; on `/v1/messages`, Anthropic's."
    yield ""
    yield "```json"
    yield '{"error": {"message": "…", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}}'
    yield "```"
    yield ""
    yield "A stream that breaks after its first byte ends with the same object as an event, and without `[DONE]`; there"
    yield "it also has `retryable`. Every 429 and 503 carries `Retry-After`. `x-should-retry: false` says that a retry will"
    yield "not help, or that the gateway has made its own on other replicas; `true`, that it will."
    yield ""
    yield "| status | type | code | when |"
    yield "| --- | --- | --- | --- |"
    for error in sorted(_leaves(errors.GatewayError), key=lambda error: (error.status, str(error.code))):
        yield f"| {error.status} | `{error.type}` | `{error.code}` | {(error.__doc__ or '').splitlines()[0]} |"
    for status, code, when in _REFUSALS:
        kind = "invalid_request_error" if status == "4xx" else "api_error"
        yield f"| {status} | `{kind}` | `{code}` | {when} |"


_REFUSALS = (
    ("4xx", "invalid_request", "The replica refused the request; its message and `param` are passed on."),
    (
        "4xx",
        "context_length_exceeded",
        "The same, because prompt and completion do not fit the model's context.",
    ),
    ("502", "replica_error", "The replica failed on the call."),
    ("503", "replica_busy", "The replica's queue is full."),
)


def _leaves(root: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    for error in root.__subclasses__():
        if error.code is not None:
            yield error
        yield from _leaves(error)


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield _NOTE.format(source="gateway/lmaas_gateway/metrics/names.py")
    yield ""
    yield "`GET /metrics` answers in Prometheus' text format; with a key set it asks for the key. Labels hold configured"
    yield "names only. `model` is empty for calls refused before their model was known, `replica` where none answered."
    yield ""
    yield "| metric | type | labels | what it counts |"
    yield "| --- | --- | --- | --- |"
    for spec in names.ALL:
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        yield f"| `{spec.sample_name}` | {spec.kind} | {labels} | {spec.text} |"
    yield ""
    yield "With several workers their counts are added up, those of the others at most a second old, and so are gauges of what each has a part of; the other gauges are those of the worker that answers. Routes:"
    yield ", ".join(f"`{route.path}`" for route in ROUTES) + "."


if __name__ == "__main__":
    sys.exit(main())
