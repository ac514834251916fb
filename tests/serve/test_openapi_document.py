"""GET /openapi.json against the routes of the application and the answers that they give."""

import functools
import re

import jsonschema
import pytest
from starlette.routing import Route

from hclx.serve.admin_dialect import admin_dialect
from hclx.serve.backend import Backend
from hclx.serve.caller import Caller
from hclx.serve.clova.clova_tasks import clova_tasks_dialect
from hclx.serve.openapi_document import ApiDocument
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import DIALECTS, build_app
from hclx.serve.tuning.tuning_dialect import tuning_dialect
from tests.helpers.serving import client_of, described_backend, served


@pytest.fixture(scope="module")
def described(engine):
    with client_of(build_app(described_backend(engine))) as client:
        yield client


@pytest.fixture(scope="module")
def document(described):
    return described.get("/openapi.json").json()


def test_its_paths_are_those_of_the_application(described, document):
    routes = [route for route in described.app.routes if isinstance(route, Route)]
    expected = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in routes
        for method in route.methods - {"HEAD"}
    }
    assert len(expected) > 40
    assert {(path, method) for path, each in document["paths"].items() for method in each} == (
        expected
    )


def test_all_routes_are_described(described):
    plain = [route.path for route in described.app.routes if not isinstance(route, ApiRoute)]
    assert not plain, "make them ApiRoutes, with an Operation each"
    for route in described.app.routes:
        operation = route.operation
        assert operation.answer is not None or route.path in (
            *("/health", "/ready", "/metrics", "/openapi.json"),
        ), f"{route.path} has no type of its answer"
        assert operation.body is None or operation.example is not None, route.path


def test_its_schemas_are_schemas_that_refer_to_each_other(document):
    names = document["components"]["schemas"]
    for schema in names.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = re.findall(r"'\$ref': '([^']*)'", str(document))
    assert references
    assert {text.removeprefix("#/components/schemas/") for text in references} <= set(names)
    identities = [
        each["operationId"] for path in document["paths"].values() for each in path.values()
    ]
    assert len(set(identities)) == len(identities)


def test_every_example_gets_an_answer_of_its_schema(described, document):
    n_examples = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            # The instructions of a summary are longer than the texts that the model here reads.
            if path.startswith(("/testapp", "/serviceapp", "/v1/api-tools/summarization")):
                continue
            content = operation.get("requestBody", {}).get("content", {})
            body = {"json": content["application/json"]["example"]} if content else {}
            address = re.sub(r"{\w+}", "tiny", path)
            response = described.request(method, address, **body)
            assert response.status_code == 200, (path, response.text)
            for kind, answer in operation["responses"]["200"]["content"].items():
                if kind == "application/json":
                    check(response.json(), answer["schema"], document)
            n_examples += bool(content)
    assert n_examples >= 20


def test_streams_pass_as_events(described):
    """By schemathesis, which reads each event as an object."""
    schemathesis = pytest.importorskip("schemathesis")
    with served(described.app) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for path in ("/v1/completions", "/v1/chat/completions", "/v3/chat-completions/{model}"):
            operation = schema[path]["POST"]
            body = operation.definition.raw["requestBody"]["content"]["application/json"]["example"]
            body = {**body, "stream": True}
            case = operation.Case(
                body=body, media_type="application/json", path_parameters={"model": "tiny"}
            )
            response = case.call(timeout=300)
            assert response.headers["content-type"][0].startswith("text/event-stream")
            case.validate_response(response)


def test_every_refusal_has_the_schema_of_its_dialect(described, document):
    for path, methods in document["paths"].items():
        if "post" not in methods:
            continue
        address = re.sub(r"{\w+}", "tiny", path)
        response = described.post(address, content=b"[]")
        assert response.status_code == 400, (path, response.text)
        schema = methods["post"]["responses"]["400"]["content"]["application/json"]["schema"]
        assert schema
        check(response.json(), schema, document)


def check(value, schema, document):
    validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    validator.validate(value)


def test_limits_and_names_are_those_of_the_server(engine):
    config = ServeConfig(n=7, prompts=5, logprobs=3, stop_texts=2)
    backend = described_backend(engine)
    backend = Backend(engine, backend.tokenizer, {"a/b": None, "tuned": "tuned"}, 64)
    with client_of(build_app(backend, None, config)) as client:
        document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    fields = {name: each.get("properties", {}) for name, each in schemas.items()}
    completion, chat = fields["CompletionRequest"], fields["ChatRequest"]
    assert completion["n"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 7}
    assert completion["logprobs"]["anyOf"][0]["maximum"] == 3
    assert completion["model"]["enum"] == ["a/b", "tuned"]
    assert completion["stop"]["anyOf"][1]["maxItems"] == 2
    assert chat["top_logprobs"]["anyOf"][0]["maximum"] == 3
    assert chat["logprobs"]["anyOf"][0] == {"type": "boolean"}
    assert fields["GenerateBody"]["prompts"]["maxItems"] == 5
    assert fields["Prompt"]["n"]["maximum"] == 7
    assert fields["ScoreBody"]["items"]["maxItems"] == 5
    assert fields["DetokenizeRequest"]["tokens"]["items"]["maximum"] == 255
    assert fields["ModelAnswer"]["id"] == {"type": "string"}
    assert not schemas["CompletionRequest"]["additionalProperties"]
    (parameter,) = document["paths"]["/v1/completions/{model}"]["post"]["parameters"]
    assert parameter["schema"]["enum"] == ["a/b", "tuned"] and parameter["required"]


def test_it_is_for_those_who_have_a_key(backend):
    class Keys:
        def authenticate(self, secret):
            return Caller("first") if secret == "right" else None

    with client_of(build_app(backend, Keys())) as client:
        assert client.get("/openapi.json").status_code == 401
        headers = {"Authorization": "Bearer right"}
        document = client.get("/openapi.json", headers=headers).json()
    assert document["paths"]["/health"]["get"]["security"] == []
    assert document["security"] == [{"key": []}]


def test_it_says_that_an_open_server_asks_for_no_key(document):
    assert document["openapi"] == "3.1.0"
    assert document["security"] == [{"key": []}, {}]


def test_routes_of_a_store_are_described(backend):
    """Those of administration and tuning, which a server has with a store."""
    makers = (
        functools.partial(admin_dialect, database=None),
        functools.partial(tuning_dialect, tuning=None),
        functools.partial(clova_tasks_dialect, tuning=None),
    )
    with client_of(build_app(backend, dialects=(*makers, *DIALECTS))) as client:
        routes = client.app.routes
        document = client.get("/openapi.json").json()
    assert all(isinstance(route, ApiRoute) for route in routes)
    own = [path for path in document["paths"] if "/admin/" in path or "/tuning/" in path]
    assert len(own) >= 8
    for path in own:
        for operation in document["paths"][path].values():
            assert operation["responses"]["400"]["content"]["application/json"]["schema"], path


def test_uploads_queries_and_other_statuses_are_told(app):
    uploads = Operation("Takes a file.", uploads=("text/csv",), query=("name",), status=201)
    document = ApiDocument(app.state.service, [])
    document.routes = [
        ApiRoute("/files", lambda request: None, uploads),
        ApiRoute("/files/{id}", lambda request: None, Operation("Removes a file."), "DELETE"),
    ]
    paths = document.document()["paths"]
    upload = paths["/files"]["post"]
    assert list(upload["requestBody"]["content"]) == ["text/csv"]
    assert [(each["name"], each["in"]) for each in upload["parameters"]] == [("name", "query")]
    assert "201" in upload["responses"] and "200" not in upload["responses"]
    assert "413" in upload["responses"] and "413" not in paths["/files/{id}"]["delete"]["responses"]


def test_routes_without_a_description_are_in_it_too(app):
    """Such as those of dialects that others write."""
    service = app.state.service
    document = ApiDocument(service, [])
    document.routes = [Route("/own/{name:path}", lambda request: None, name="own")]
    assert document.document()["paths"]["/own/{name}"]["get"]["summary"] == "own"
