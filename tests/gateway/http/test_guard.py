"""Who may talk to us: Host and Origin on every route, before anything else."""

from collections.abc import Iterator

import httpx
import pytest

from gateway.http.app import ROUTES
from gateway.http.errors import Problem
from gateway.http.guard import check_host, check_origin, name_in
from gateway.http.origins import compile_origins
from gateway.protocol import Submit
from tests.support.http_stack import TOML, HttpStack
from tests.support.lan import lan_address

ALLOWED = frozenset({"localhost", "127.0.0.1", "[::1]", "chat.example"})


@pytest.mark.parametrize(("host", "name"), [
    ("localhost", "localhost"), ("LOCALHOST:11435", "localhost"), ("127.0.0.1:1", "127.0.0.1"), ("[::1]:80", "[::1]"),
    ("[::1]", "[::1]"), ("a.example.", "a.example"), ("", ""), ("localhost:", ""), ("localhost:x", ""), ("::1", ""),
    ("localhost@evil.example", ""), ("localhost evil", ""), ("localhost:80:80", ""), ("localhost\n", ""),
    ("localhost/evil", ""), ("localhost,evil", ""),
])
def test_the_name_in_a_host(host, name):
    assert name_in(host) == name


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "0.0.0.0", ""])
def test_other_hosts_are_refused_with_the_setting(host):
    with pytest.raises(Problem, match="allowed_hosts") as caught:
        check_host(host, ALLOWED)
    assert caught.value.code == "host_not_allowed"


@pytest.mark.parametrize(("origin", "outcome"), [
    ("http://localhost:11435", False), ("http://LOCALHOST:11435", False), ("https://chat.example", True),
    ("http://chat.example:8080", True), ("http://localhost:3000", None), ("null", None), ("", None),
    ("http://evil.example", None), ("file://", None), ("http://[", None), ("localhost:11435", None),
    ("http://chat.example.evil", None), ("chrome-extension://chat.example", None),
])
def test_origins(origin, outcome):
    if outcome is None:
        with pytest.raises(Problem, match="allowed_hosts"):
            check_origin(origin, "localhost:11435", {"chat.example"})
    else:
        assert check_origin(origin, "localhost:11435", {"chat.example"}) is outcome


def test_origins_that_are_configured_as_patterns():
    patterns = compile_origins(["app://*", "http://localhost:*"])
    assert check_origin("app://obsidian.md", "localhost:11435", (), patterns)
    assert check_origin("http://localhost:3000", "localhost:11435", (), patterns)
    assert check_origin("http://localhost:11435", "localhost:11435", (), patterns) is False
    for origin in ("http://evil.example", "null", "https://localhost:3000"):
        with pytest.raises(Problem, match="allowed_origins"):
            check_origin(origin, "localhost:11435", (), patterns)


@pytest.mark.parametrize("path", [*ROUTES, "/nothing", "/v1/nothing"])
def test_every_route_refuses_a_foreign_host_and_a_foreign_page(http, gateway, path):
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        for method in ("GET", "POST"):
            response = http.request(method, path, headers=headers, json={"prompt": "hi"})
            assert response.status_code == 403 and response.headers["content-type"] == "application/json"
            assert "allowed_hosts" in str(response.json()["error"])
            assert "access-control-allow-origin" not in response.headers
    assert not gateway.all(Submit)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:11435", "chat.example", "Chat.Example:443",
                                  "host.docker.internal:11435", "host.containers.internal"])
def test_own_and_configured_names_are_served(http, host):
    assert http.get("/livez", headers={"host": host}).status_code == 200


def test_our_own_page_needs_no_cross_origin_headers(http, stack):
    response = http.get("/livez", headers={"origin": stack.url})
    assert response.status_code == 200 and "access-control-allow-origin" not in response.headers


def test_a_configured_page_may_ask_and_read(http):
    origin = {"origin": "https://chat.example"}
    asked = http.options("/api/chat", headers=origin | {"access-control-request-method": "POST"})
    assert asked.status_code == 204 and "content-type" in asked.headers["access-control-allow-headers"]
    allowed = asked.headers["access-control-allow-headers"].split(", ")
    assert {"x-api-key", "anthropic-version", "anthropic-dangerous-direct-browser-access", "x-stainless-lang"} <= {
        *allowed}  # what SDKs in a browser send
    assert "DELETE" in asked.headers["access-control-allow-methods"]  # /api/delete
    response = http.post("/api/chat", headers=origin, json={"messages": [{"role": "user", "content": "hi"}]})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://chat.example"
    assert "*" not in str(response.headers)


@pytest.mark.parametrize(("origin", "status"), [
    ("app://obsidian.md", 200), ("chrome-extension://abcdefgh", 200), ("vscode-webview://evil.example", 403)])
def test_a_configured_app_may_ask_and_read(http, origin, status):
    headers = {"origin": origin}
    asked = http.options("/api/chat", headers=headers | {"access-control-request-method": "POST"})
    response = http.get("/api/version", headers=headers)
    assert (asked.status_code, response.status_code) == ((204, 200) if status == 200 else (403, 403))
    assert response.headers.get("access-control-allow-origin") == (origin if status == 200 else None)


def test_the_page_of_a_container_is_another_site(http):
    assert http.get("/livez", headers={"origin": "http://host.docker.internal:3000"}).status_code == 403


def test_a_refusal_has_anthropics_shape_where_its_clients_ask(http):
    for path, version in (("/v1/messages", {}), ("/v1/models", {"anthropic-version": "2023-06-01"})):
        response = http.get(path, headers={"host": "evil.example", **version})
        assert response.status_code == 403 and response.json()["error"]["type"] == "permission_error"
        assert response.json()["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize(("given", "kept"), [("abc-1:2.3_X", True), ("x" * 65, False), ("a b", False), ("", False),
                                             ("a\"b", False)])
def test_the_request_id_is_the_callers_if_it_is_sane(http, given, kept):
    found = http.get("/livez", headers={"x-request-id": given}).headers["x-request-id"]
    assert (found == given) is kept and found


def test_made_request_ids_differ_and_errors_have_one_too(http):
    ids = {http.get(path).headers["x-request-id"] for path in ("/livez", "/livez", "/nothing", "/api/chat")}
    assert len(ids) == 4


# -- reached by other machines -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reachable(tmp_path_factory) -> Iterator[HttpStack]:
    with HttpStack(tmp_path_factory.mktemp("h"), TOML.replace("[server]", '[server]\nhost = "0.0.0.0"')) as stack:
        yield stack


@pytest.mark.parametrize("host", ["192.168.1.7", "192.168.1.7:11435", "[fd00::2]:11435", "[FD00::2]",
                                  "[::ffff:10.0.0.1]"])
def test_any_address_is_ours_where_others_can_reach_us_and_nowhere_else(reachable, http, host):
    check_host(host, ALLOWED, addresses=True)
    assert reachable.client.get("/livez", headers={"host": host}).status_code == 200
    with pytest.raises(Problem, match="allowed_hosts"):
        check_host(host, ALLOWED)
    assert http.get("/livez", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "192.168.1.7.nip.io", "127.1", "0x7f.0.0.1", "2130706433", "[]",
                                  "[1]", "192.168.1.256", "192.168.1.7@evil.example", "[fe80::1%25eth0]", ""])
def test_names_stay_refused_where_others_can_reach_us(reachable, host):
    with pytest.raises(Problem, match="allowed_hosts"):
        check_host(host, ALLOWED, addresses=True)
    assert reachable.client.get("/livez", headers={"host": host}).status_code in (400, 403)


def test_by_its_own_address_this_machine_is_served(reachable):
    address = lan_address()
    if not address:
        pytest.skip("this machine has no address but those of the loopback")
    url = f"http://{address}:{reachable.port}"
    assert httpx.get(f"{url}/livez").status_code == 200
    assert httpx.get(f"{url}/livez", headers={"origin": url}).status_code == 200
    refused = [{"origin": "http://192.168.1.7"}, {"origin": f"http://{address}"}, {"host": "evil.example"},
               {"origin": f"http://{address}:1"}, {"origin": f"http://127.0.0.1:{reachable.port}"}]
    assert [httpx.get(f"{url}/livez", headers=headers).status_code for headers in refused] == [403] * 5


def test_the_page_of_another_address_is_not_ours():
    with pytest.raises(Problem, match="allowed_hosts"):
        check_origin("http://192.168.1.9", "192.168.1.7:11435", {"chat.example"})
    assert check_origin("http://192.168.1.7:11435", "192.168.1.7:11435", {"chat.example"}) is False
