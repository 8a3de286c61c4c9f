"""The OpenAPI documents, written from the tables and schemas that the routes themselves are made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from lmaas_gateway.administration.operations import OPERATIONS
from lmaas_gateway.api.admin import FLEET_OPERATIONS
from lmaas_gateway.api.alerts import ALERT_OPERATIONS
from lmaas_gateway.api.feedback import PATH as FEEDBACK_PATH
from lmaas_gateway.api.fleet import MODEL_OPERATIONS
from lmaas_gateway.api.live import LIVE_OPERATION
from lmaas_gateway.api.logs import LOG_OPERATIONS
from lmaas_gateway.call import ROUTES
from lmaas_gateway.envelope import Envelope
from lmaas_gateway.quality.opinions import Accepted, Opinion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.administration.operations import Operation
    from lmaas_gateway.call import Route

Json = dict[str, Any]

ADMIN_PATH = "/admin/v1/openapi.json"
PUBLIC_PATH = "/openapi.json"

_REFS = "#/components/schemas/{name}"
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "What was wrong, where, and what to do."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field at fault."},
                "code": {"type": ["string", "null"], "description": "See docs/errors.md."},
            },
        }
    },
}
_ATTRIBUTE = re.compile(r"^ {8}(\w+): (.*(?:\n {9,}.*)*)", re.MULTILINE)
# What a route needs beside `model`. Everything else passes through to the replica.
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "/v1/chat/completions": ("messages",),
    "/v1/messages": ("messages", "max_tokens"),
    "/v1/completions": ("prompt",),
    "/v1/embeddings": ("input",),
    "/v1/responses": ("input",),
    "/v1/classify": ("input",),
    "/v1/rerank": ("query", "documents"),
    "/v1/score": ("text_1", "text_2"),
    "/v1/tokenize": (),
    "/v1/detokenize": ("tokens",),
}


def admin_document(version: str) -> Json:
    """Write the document of `/admin/v1/`."""
    fleet = (*FLEET_OPERATIONS, *MODEL_OPERATIONS, LIVE_OPERATION, *ALERT_OPERATIONS, *LOG_OPERATIONS)
    operations = (*OPERATIONS, *fleet)
    kinds = [kind for one in operations for kind in (one.query, one.body, one.answer) if kind is not None]
    references, schemas = msgspec.json.schema_components(kinds, ref_template=_REFS)
    found = dict(zip(map(id, kinds), references, strict=True))
    for schema in schemas.values():
        _describe(schema)
    paths: dict[str, Json] = {}
    for operation in operations:
        path = "/admin/v1" + operation.path.replace(":path}", "}")
        described = _operation(operation, found, schemas)
        paths.setdefault(path, {})[operation.method.lower()] = described
    queries = {
        reference["$ref"].rsplit("/", 1)[1] for one in operations if (reference := found[id(one.query)])
    }
    components = {_title(name): schema for name, schema in schemas.items() if name not in queries}
    document = _document("lmaas admin API", version, paths, {**components, "Error": _ERROR})
    renamed: Json = _rename(document)
    return renamed


def public_document(version: str) -> Json:
    """Write the document of the inference routes."""
    fields = {field.name: _field(field.type) for field in msgspec.structs.fields(Envelope)}
    paths = {route.path: {"post": _inference(route, fields)} for route in ROUTES}
    paths["/v1/models"] = {"get": _read("list_models", "List the models that the key may call.")}
    paths["/v1/models/{model}"] = {
        "get": {
            **_read("retrieve_model", "Show one model."),
            "parameters": [_path_parameter("model")],
        }
    }
    references, schemas = msgspec.json.schema_components([Opinion, Accepted], ref_template=_REFS)
    for schema in schemas.values():
        _describe(schema)
    paths[FEEDBACK_PATH] = {"post": _feedback(*references)}
    return _document("lmaas", version, paths, {**schemas, "Error": _ERROR})


def _document(title: str, version: str, paths: Json, schemas: Json) -> Json:
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _operation(operation: Operation, found: Mapping[int, Json], schemas: Json) -> Json:
    query = schemas[found[id(operation.query)]["$ref"].rsplit("/", 1)[1]]
    needs = operation.needs or "a role"
    described: Json = {
        "operationId": operation.name,
        "description": f"Needs: {needs}.",
        "tags": [operation.name.split(".")[0]],
        "summary": operation.text,
        "parameters": [_path_parameter(name) for name in re.findall(r"{(\w+)", operation.path)]
        + [_query_parameter(name, schema, query) for name, schema in query["properties"].items()],
        "responses": _responses(
            str(operation.status),
            {"application/octet-stream": {}}
            if operation.answer is None
            else {"application/json": {"schema": found[id(operation.answer)]}},
        ),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": found[id(operation.body)]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _inference(route: Route, fields: Json) -> Json:
    required = ("model", *_REQUIRED[route.path])
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {name: dict(field) for name, field in fields.items()},
        "additionalProperties": True,
    }
    content: Json = {"application/json": {}}
    if route.dialect != "plain":
        content["text/event-stream"] = {}
    return {
        "operationId": route.path.removeprefix("/v1/").replace("/", "."),
        "tags": ["inference"],
        "summary": f"vLLM's {route.replica_path}, with all of its parameters.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": _responses("200", content),
    }


def _feedback(said: Json, kept: Json) -> Json:
    return {
        "operationId": "feedback",
        "tags": ["feedback"],
        "summary": "Say what you think of a reply; said again, it replaces what you said before.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": said}}},
        "responses": _responses("200", {"application/json": {"schema": kept}}),
    }


def _field(kind: Any) -> Json:
    """Write what the gateway checks of a field; what it leaves to the replica may be anything."""
    if kind is msgspec.Raw:
        return {}
    (schema,), found = msgspec.json.schema_components([kind], ref_template=_REFS)
    own: Json = next(iter(found.values()), schema)
    _describe(own)
    return own


def _read(name: str, text: str) -> Json:
    return {
        "operationId": name,
        "tags": ["models"],
        "summary": text,
        "responses": _responses("200", {"application/json": {}}),
    }


def _responses(status: str, content: Json) -> Json:
    error = {"application/json": {"schema": {"$ref": _REFS.format(name="Error")}}}
    return {
        status: {"description": "Done.", "content": content},
        "4XX": {"description": "The request cannot be served as it is.", "content": error},
        "5XX": {"description": "The gateway, or what stands behind it, failed.", "content": error},
    }


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameter(name: str, schema: Json, query: Json) -> Json:
    # A query has no null: what may be left out is left out.
    shown = next((one for one in schema.get("anyOf", ()) if one != {"type": "null"}), schema)
    shown = {key: value for key, value in shown.items() if value is not None}
    return {"name": name, "in": "query", "required": name in query["required"], "schema": shown}


def _describe(schema: Json) -> None:
    """Move what a docstring says of attributes to where the properties are."""
    text = schema.get("description", "")
    for name, said in _ATTRIBUTE.findall(text):
        if name in schema.get("properties", {}):
            schema["properties"][name] = {
                **schema["properties"][name],
                "description": re.sub(r"\s+", " ", said),
            }
    if text:
        schema["description"] = re.sub(r"\s+", " ", text.partition("\n\n    Attributes:")[0])


def _title(name: str) -> str:
    """Name a schema: `Page[Key]`, which msgspec writes `Page_Key_`, is a `KeyList`."""
    return re.sub(r"^Page_(\w+?)_$", r"\1List", name.lstrip("_"))


def _rename(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _REFS.format(name=_title(part.rsplit("/", 1)[1]))
            if key == "$ref" and isinstance(part, str)
            else _rename(part)
            for key, part in value.items()
        }
    return [_rename(one) for one in value] if isinstance(value, list) else value
