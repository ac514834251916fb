"""GET /openapi.json: the OpenAPI 3.1 document of a server, made of its routes (`ApiRoute`) and of
the structs that their handlers read and write.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

import hclx
from hclx.serve.caller import Caller, OpenKeys
from hclx.serve.dialect import Dialect
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service

_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_REFERENCE = "#/components/schemas/"
# Refusals of every route: wrong fields, key, origin, name; quota, host, headers; the server.
_STATUSES = (400, 401, 403, 404, 421, 429, 431, 500, 502, 503)
_BODY_STATUSES = (408, 413)
# Of each event of a stream, as tools read it: OpenAPI 3.1 itself has no word for that.
_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
_REASONS = {
    **{
        400: "A field is wrong.",
        401: "The key is missing, wrong or not active any more.",
        404: "There is no such name.",
    },
    **{403: "The key or the origin may not do this.", 408: "The body came too slowly."},
    **{409: "It does not go with what there is."},
    **{413: "The body is too large.", 421: "The host is another.", 429: "A quota is used up."},
    **{431: "The headers are too large.", 500: "The server failed.", 501: "It is not supported."},
    **{502: "The server behind failed.", 503: "The server is full or ends."},
}
# Fields of requests -> the limit of a server, of a number or of the length of a list.
_LIMITS = {
    **{"n": "n", "logprobs": "logprobs", "top_logprobs": "logprobs", "top": "logprobs"},
    **{"stop": "stop_texts", "stopBefore": "stop_texts", "items": "prompts", "prompts": "prompts"},
}
_LEAST = {"n": 1, "logprobs": 0, "top_logprobs": 0}
# Fields whose numbers are token ids. In a context there may be soft slots, which are no tokens.
_IDS = ("prompt", "input", "tokens", "continuation", "choices", "allowed_tokens", "stop_ids")
_IDS += ("allowed_token_ids", "stop_token_ids")


class ApiDocument:
    """The document, and the handler that answers with it."""

    def __init__(self, service: Service, dialects: Sequence[Dialect]):
        """Takes the parts of a server and the dialects, of which the first that owns a path writes
        its errors.
        """
        self._service, self._dialects = service, dialects
        self.routes: Sequence[BaseRoute] = ()  # all of the application, once it is made

    async def __call__(self, request: Request) -> Response:
        """Answers with the document."""
        return JSONResponse(await asyncio.to_thread(self.document, request.state.caller))

    def document(self, caller: Caller | None = None) -> dict:
        """Returns the document, with the limits of this server and the names of the models that a
        caller may ask for.
        """
        models = self._service.backend.names_for(caller)
        routes = [route for route in self.routes if isinstance(route, Route)]
        operations = [operation_of(route) for route in routes]
        bodies = [each.body for each in operations if each.body is not None]
        answers = [each.answer for each in operations if each.answer is not None]
        errors = [dialect.error for dialect in self._dialects if dialect.error is not None]
        kinds = list(dict.fromkeys([*bodies, *answers, *errors]))
        schemas, components = msgspec.json.schema_components(
            kinds,
            schema_hook=lambda kind: {"title": "any JSON"},
            ref_template=_REFERENCE + "{name}",
        )
        schema_of = dict(zip(kinds, schemas))
        for name in _reachable([schema_of[body] for body in bodies], components):
            _limit(components[name].get("properties", {}), self._service, models)
        paths: dict[str, dict] = {}
        for route, operation in zip(routes, operations):
            described = self._described(route, operation, schema_of, models)
            of_path = paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})
            for method in sorted(route.methods - {"HEAD"}):
                identity = re.sub(r"\W+", "_", f"{method.lower()}{route.path}").strip("_")
                of_path[method.lower()] = {"operationId": identity, **described}
        key = {"type": "http", "scheme": "bearer"}
        return {
            "openapi": "3.1.0",
            "info": {"title": "hclx", "version": hclx.__version__},
            "paths": paths,
            "components": {"schemas": components, "securitySchemes": {"key": key}},
            "security": [{"key": []}, *([{}] if isinstance(self._service.keys, OpenKeys) else [])],
        }

    def _described(
        self, route: Route, operation: Operation, schema_of: Mapping, models: list[str]
    ) -> dict:
        owner = next((each for each in self._dialects if each.owns(route.path)), None)
        in_routes = owner is not None and any(each is route for each in owner.routes)
        described = {
            "summary": operation.summary,
            "tags": [owner.name if in_routes else "server"],
            "responses": _responses(operation, owner and owner.error, schema_of),
        }
        parameters = [_parameter(name, models) for name in _PARAMETER.findall(route.path)]
        text = {"type": "string"}
        parameters += [{"name": name, "in": "query", "schema": text} for name in operation.query]
        if parameters:
            described["parameters"] = parameters
        if content := self._content(operation, schema_of):
            described["requestBody"] = {"required": True, "content": content}
        if operation.is_public:
            described["security"] = []
        return described

    def _content(self, operation: Operation, schema_of: Mapping) -> dict[str, dict]:
        """The forms that a body may have: media type -> schema and example."""
        content: dict[str, dict] = {kind: {"schema": {}} for kind in operation.uploads}
        if operation.body is not None:
            content["application/json"] = {"schema": schema_of[operation.body]}
            if operation.example is not None:
                content["application/json"]["example"] = self._example(operation)
        return content

    def _example(self, operation: Operation) -> dict:
        has_model = "model" in operation.body.__struct_fields__
        own = {"model": next(iter(self._service.backend.models))} if has_model else {}
        return {**own, **operation.example}


def operation_of(route: Route) -> Operation:
    """Returns the description of a route; one that has none is named by its handler."""
    return route.operation if isinstance(route, ApiRoute) else Operation(route.name)


def _parameter(name: str, models: list[str]) -> dict:
    schema: dict = {"type": "string", "minLength": 1}
    if name in ("model", "name"):
        schema["enum"] = models
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(operation: Operation, error: type | None, schema_of: Mapping) -> dict[str, dict]:
    """The answers of a route: what it gives, and its refusals in the form of its dialect."""
    is_json = operation.media_type == "application/json"
    schema = schema_of.get(operation.answer, {}) if is_json else {"type": "string"}
    schema = _EVENT if operation.media_type == "text/event-stream" else schema
    content = {operation.media_type: {"schema": schema}}
    if operation.streams:
        content["text/event-stream"] = {"schema": _EVENT}
    has_body = operation.body is not None or operation.uploads
    statuses = [*_STATUSES, *operation.statuses, *(_BODY_STATUSES if has_body else ())]
    refusal = {"application/json": {"schema": schema_of.get(error, {})}}
    refusals = {
        str(status): {"description": _REASONS.get(status, "It is refused."), "content": refusal}
        for status in sorted(set(statuses))
    }
    return {str(operation.status): {"description": "Success.", "content": content}, **refusals}


def _reachable(schemas: Iterable[object], components: Mapping[str, dict]) -> set[str]:
    """The names of the components that schemas refer to, directly or by others."""
    names: set[str] = set()
    left = [name for schema in schemas for name in _references(schema)]
    while left:
        name = left.pop()
        if name not in names:
            names.add(name)
            left += _references(components[name])
    return names


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix(_REFERENCE)
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _limit(properties: dict[str, dict], service: Service, models: list[str]) -> None:
    """Writes the limits of a server and its model into the fields of a request. A field `model`
    that has a description of its own is no name of a served model.
    """
    config, backend = service.config, service.backend
    for name, schema in properties.items():
        if name in _IDS:
            _limit_ids(schema, backend.tokenizer.vocab_size - 1)
        if name == "logit_bias":
            _limit_names(schema)
        for branch in schema.get("anyOf", [schema]):
            kind = branch.get("type")
            if name == "model" and kind == "string" and "description" not in branch:
                branch["enum"] = models
            elif name in _LIMITS and kind in ("integer", "array"):
                most, key = getattr(config, _LIMITS[name]), "maximum"
                if kind == "array":
                    key = "maxItems"
                branch[key] = min(most, branch.get(key, most))
                if kind == "integer" and name in _LEAST:
                    branch["minimum"] = max(_LEAST[name], branch.get("minimum", 0))


def _limit_ids(schema: dict, most: int, is_item: bool = False) -> None:
    """Writes the range of token ids into the items of lists, and into those of lists in these."""
    for branch in schema.get("anyOf", [schema]):
        if branch.get("type") == "array" and "items" in branch:
            _limit_ids(branch["items"], most, True)
        elif branch.get("type") == "integer" and is_item:
            branch |= {"minimum": 0, "maximum": most}


def _limit_names(schema: dict) -> None:
    """Writes into objects that their names are whole numbers, which JSON has not."""
    for branch in schema.get("anyOf", [schema]):
        if branch.get("type") == "object":
            branch["propertyNames"] = {"pattern": "^-?[0-9]+$"}
