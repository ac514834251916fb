"""Routes that tell how the server is, and errors at routes."""


def test_health_and_readiness(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").status_code == 200


def test_unknown_routes_and_methods_are_told(client):
    response = client.get("/v1/nothing")
    assert response.status_code == 404 and response.json()["error"]["code"] == "not_found"
    response = client.get("/v1/completions")
    assert response.status_code == 405
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["allow"] == "POST"
    response = client.delete("/v1/models")
    assert response.status_code == 405 and response.headers["allow"] == "GET, HEAD"
