"""Errors as CLOVA Studio writes them."""

import pytest

from hclx.serve.api_error import ApiError, invalid
from hclx.serve.clova.clova_errors import clova_code, render_error
from hclx.serve.server import build_app
from tests.helpers.serving import client_of

PATH = "/v1/completions/tiny"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("40000", invalid("no JSON")),
        ("40001", invalid("topK: less", "topK")),
        ("40003", ApiError(400, "context_length_exceeded", "long", "text")),
        ("40004", ApiError(400, "empty_text", "empty", "text")),
        ("40009", ApiError(400, "unsupported", "tools", "tools")),
        ("40055", ApiError(400, "invalid_schema", "schema", "responseFormat.schema")),
        ("40080", ApiError(404, "model_not_found", "none", "model")),
        ("40104", ApiError(401, "invalid_api_key", "key")),
        ("40300", ApiError(403, "forbidden", "scope")),
        ("40400", ApiError(404, "not_found", "route")),
        ("40800", ApiError(408, "timeout", "late")),
        ("41300", ApiError(413, "request_too_large", "large")),
        ("42900", ApiError(429, "rate_limit_exceeded", "wait", retry_after=2)),
        ("50300", ApiError(503, "overloaded", "full", retry_after=1)),
        ("50000", ApiError(500, "internal_error", "failed")),
    ],
)
def test_codes(code, error):
    assert clova_code(error) == code
    assert render_error(error).status_code == int(code[:3])


def test_refusals_say_when_to_try_again(backend):
    app = build_app(backend)
    app.state.service.admission.is_draining = True
    with client_of(app) as client:
        answer = client.post(PATH, json={"text": "a"})
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.json()["status"]["code"] == "50300"
        # Paths of the other dialect have its errors.
        answer = client.post("/v1/completions", json={"model": "tiny", "prompt": "a"})
        assert answer.json()["error"]["code"] == "shutting_down"


def test_requests_keep_the_names_that_clients_give_them(client):
    headers = {"X-NCP-CLOVASTUDIO-REQUEST-ID": "abc-1"}
    answer = client.post(PATH, json={"text": "a", "maxTokens": 1}, headers=headers)
    assert answer.headers["x-request-id"] == "abc-1"


def test_foreign_hosts_and_large_bodies_are_refused_in_the_envelope(client):
    answer = client.post(PATH, json={"text": "a"}, headers={"Host": "evil.example"})
    assert answer.json()["status"]["code"] == "42100"
    answer = client.post(PATH, content=b" " * (2**22 + 1))
    assert answer.status_code == 413 and answer.json()["status"]["code"] == "41300"
