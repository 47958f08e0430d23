"""Which path answers whom: unknown routes, wrong methods, HEAD, and exceptions nobody expected."""

import httpx
import pytest

from gateway.http.app import ROUTES
from gateway.protocol import ListModels


def params(path: str) -> str:
    return path.replace("{name:path}", "tiny")


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/", "/api/nothing", "/api/tags/", "/chat/x", "/..%2f.."])
def test_unknown_routes_are_404_as_ollama_says_it(http, path):
    response = http.get(path)
    assert response.status_code == 404 and response.json().keys() == {"error"}


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/chat", "/v1/chat/completions/"])
def test_unknown_routes_are_404_as_openai_says_it(http, path):
    response = http.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found" and response.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_wrong_methods_are_405_and_name_the_right_one(http, path, method):
    if method in ROUTES[path]:
        return
    response = http.request(method, params(path))
    assert response.status_code == 405 and response.headers["allow"] == ", ".join(ROUTES[path])
    error = response.json()["error"]
    assert (error["code"] if path.startswith("/v1/") else "use ") in ("method_not_allowed", "use ")


@pytest.mark.parametrize("path", [path for path, methods in ROUTES.items() if "GET" in methods])
def test_head_is_get_without_its_body(http, path):
    get, head = http.get(params(path)), http.head(params(path))
    assert head.status_code == get.status_code and head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(("path", "shape"), [("/api/tags", str), ("/v1/models", dict)])
def test_a_bug_is_500_in_the_dialect_and_the_server_lives(stack, gateway, path, shape):
    gateway.on[ListModels] = lambda m: [gateway._result(m.id, "not a list of models")]
    with httpx.Client(base_url=stack.url) as http:
        response = http.get(path)
        assert response.status_code == 500 and isinstance(response.json()["error"], shape)
        assert response.headers["x-request-id"] in response.text
    assert stack.client.get("/livez").status_code == 200


def test_every_response_forbids_sniffing(http):
    for path in ("/", "/chat", "/livez", "/nothing", "/api/chat"):
        assert http.get(path).headers["x-content-type-options"] == "nosniff"
