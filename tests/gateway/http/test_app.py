"""Which path answers whom: unknown routes, wrong methods, HEAD, and exceptions nobody expected."""

import httpx
import pytest

from gateway.http.app import ROUTES
from gateway.protocol import ListModels


ENDLESS = ("/dashboard/events",)  # its GET is in test_dashboard_api.py


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
    assert "use " in response.text


NOT_OFFERED = [("POST", "/api/create"), ("POST", "/api/push"), ("POST", "/api/blobs/sha256:ab"),
               ("HEAD", "/api/blobs/sha256:ab"), ("GET", "/v1/responses/resp_1"), ("POST", "/v1/messages/batches")]


@pytest.mark.parametrize(("method", "path"), NOT_OFFERED)
def test_what_a_dialect_has_and_we_have_not_is_501_and_never_404(http, gateway, method, path):
    response = http.request(method, path, content=b"x" * 1000)
    assert response.status_code == 501 and response.headers["x-should-retry"] == "false"
    if method != "HEAD":
        error = response.json()["error"]
        assert path in (error["message"] if path.startswith("/v1/") else error)
    assert http.get("/livez").status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/v1/nothing", 404), ("PUT", "/v1/messages", 405), ("DELETE", "/v1/models", 405),
    ("POST", "/v1/messages", 415)])
def test_who_sends_the_version_of_anthropics_api_gets_its_errors(http, method, path, status):
    response = http.request(method, path, headers={"anthropic-version": "2023-06-01"})
    assert response.status_code == status and response.json()["type"] == "error"
    assert response.json()["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("path", [path for path, methods in ROUTES.items() if "GET" in methods and path not in ENDLESS])
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
