"""Who asks and how, from headers, over a real socket: keys, users, addresses, kinds, categories and hops."""

from collections.abc import Iterator

import pytest

from gateway.http.asking import is_here, may_see_all
from gateway.http.call import Call, Services
from gateway.protocol import KEY_MAX_CHARS, ListModels, LoadModel, Show, Submit, Unload
from tests.support.fake_gateway import error
from tests.support.http_stack import TOML, HttpStack, make_config

HI = {"messages": [{"role": "user", "content": "hi"}]}
ANSWERS = {"/api/chat": HI, "/api/generate": {"prompt": "hi"}, "/v1/chat/completions": HI,
           "/chat/stream": {"content": "hi"}, "/chat/send": {"content": "hi"}}
LISTS = ("/api/tags", "/api/ps", "/v1/models", "/v1/models/tiny", "/models")
USER_HEADER = "X-OpenWebUI-User-Id"


def stack_with(setting: str):
    """A fixture: the face with one more setting of [server]."""
    @pytest.fixture(scope="module")
    def made(tmp_path_factory) -> Iterator[HttpStack]:
        with HttpStack(tmp_path_factory.mktemp("h"), TOML.replace("[server]", f"[server]\n{setting}")) as stack:
            yield stack

    return made


named_users = stack_with(f'user_header = "{USER_HEADER}"')
locked = stack_with("require_key = true")


@pytest.fixture
def for_users(named_users):
    named_users.reset()
    return named_users


@pytest.fixture
def for_keys(locked):
    locked.reset()
    return locked


def asked(stack: HttpStack, path: str = "/api/chat", **headers: str) -> Submit:
    before = len(stack.gateway.all(Submit))
    response = stack.client.post(path, json=ANSWERS[path],
                                 headers={name.replace("_", "-"): text for name, text in headers.items()})
    assert response.status_code == 200, response.text
    return stack.gateway.all(Submit)[before]


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ANSWERS)
@pytest.mark.parametrize(("headers", "key"), [
    ({}, ""), ({"authorization": "Bearer abc"}, "abc"), ({"authorization": "bearer  abc"}, "abc"),
    ({"x-api-key": "abc"}, "abc"), ({"x-api-key": "abc", "authorization": "Bearer other"}, "abc"),
    ({"authorization": "Basic YTpi"}, ""), ({"authorization": "Bearer"}, ""), ({"authorization": "abc"}, "")])
def test_the_key_goes_to_the_gateway(stack, path, headers, key):
    assert asked(stack, path, **headers).key == key


def test_lists_and_orders_carry_the_key_too(http, gateway):
    bearer = {"authorization": "Bearer abc"}
    for path in LISTS:
        assert http.get(path, headers=bearer).status_code == 200
    http.post("/api/show", json={"model": "tiny"}, headers=bearer)
    http.post("/api/generate", json={"model": "tiny"}, headers=bearer)
    http.post("/api/generate", json={"model": "tiny", "keep_alive": 0}, headers=bearer)
    questions = [each for kind in (ListModels, Show, LoadModel, Unload) for each in gateway.all(kind)]
    assert len(questions) == 8 and {each.key for each in questions} == {"abc"}


def test_a_key_longer_than_any_is_401_and_not_shown(http, gateway):
    key = "k" * (KEY_MAX_CHARS + 1)
    response = http.post("/v1/chat/completions", json=HI, headers={"x-api-key": key})
    assert response.status_code == 401 and response.json()["error"]["type"] == "authentication_error"
    assert response.headers["www-authenticate"] == "Bearer" and key not in response.text
    assert not gateway.all(Submit)


def test_a_key_that_the_gateway_refuses_is_401_in_each_dialect(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "unauthorized", "this API key is not known here")]
    gateway.on[ListModels] = gateway.on[Submit]
    for path, body in ANSWERS.items():
        response = http.post(path, json=body)
        assert response.status_code == 401 and "not known here" in response.text
    for path in ("/api/tags", "/v1/models", "/models"):
        assert http.get(path).status_code == 401


def test_where_a_key_is_needed_nothing_is_asked_without_one(for_keys):
    http, gateway = for_keys.client, for_keys.gateway
    tries = [http.post(path, json=body) for path, body in ANSWERS.items()]
    tries += [http.get(path) for path in LISTS]
    tries += [http.post("/api/show", json={"model": "tiny"}), http.post("/api/generate", json={"model": "tiny"}),
              http.post("/api/generate", json={"model": "tiny", "keep_alive": 0})]
    assert {response.status_code for response in tries} == {401}
    assert all("warden key create" in response.text for response in tries)
    assert not [each for each in gateway.received if hasattr(each, "key") and hasattr(each, "id")]
    assert asked(for_keys, authorization="Bearer abc").key == "abc"


def test_pages_and_operations_need_no_key(for_keys):
    gateway = for_keys.gateway
    for path in ("/", "/chat", "/health", "/livez", "/status", "/api/version"):
        assert for_keys.client.get(path).status_code == 200, path
    for path in ("/readyz", "/queue/stats"):
        assert for_keys.client.get(path).status_code == 503, "there is no table here, and that is all that is wrong"
    assert not gateway.all(ListModels)


# -- whose share it is ---------------------------------------------------------------------------------------------


def test_without_more_it_is_the_address(stack):
    assert asked(stack, x_openwebui_user_id="ann").caller == "127.0.0.1", "the header is not configured"


def test_a_front_end_here_names_its_users(for_users):
    assert asked(for_users, x_openwebui_user_id="ann").caller == "user ann"
    assert asked(for_users, x_openwebui_user_id="127.0.0.1").caller == "user 127.0.0.1", "no user is an address"
    assert asked(for_users).caller == asked(for_users, x_openwebui_user_id="").caller == "127.0.0.1"
    assert len(asked(for_users, x_openwebui_user_id="a" * 1000).caller) < 256


@pytest.mark.parametrize(("address", "here"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("local", True), ("::ffff:127.0.0.1", True),
    ("192.168.1.7", False), ("2001:db8::1", False), ("testclient", False), ("", False)])
def test_who_is_on_this_machine(address, here):
    assert is_here(address) is here


@pytest.mark.parametrize(("setting", "address", "all_of_it"), [
    ("", "192.168.1.7", True), ("require_key = true", "192.168.1.7", False), ("require_key = true", "127.0.0.1", True),
    ('host = "0.0.0.0"', "192.168.1.7", False), ('host = "::"', "::ffff:192.168.1.7", False),
    ('host = "::"', "::1", True), ('host = "::"', "::ffff:127.0.0.1", True)])
def test_who_sees_all_of_the_operations_pages(tmp_path, setting, address, all_of_it):
    services = Services(make_config(tmp_path, TOML.replace("[server]", f"[server]\n{setting}")), None, None,
                        print, None)
    scope = {"headers": [(b"x-api-key", b"abc")], "request_id": "1", "client": (address, 5)}
    assert may_see_all(Call(services, "ollama", scope, None, None)) is all_of_it


# -- what kind of work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ANSWERS)
def test_chat_endpoints_say_chat_and_the_others_task(stack, path):
    submit = asked(stack, path)
    assert (submit.kind, submit.priority) == (("chat", "high") if path.startswith("/chat/") else ("task", "medium"))
    submit = asked(stack, path, x_warden_kind="Batch", x_request_priority="low")
    assert (submit.kind, submit.priority) == ("batch", "low")


@pytest.mark.parametrize("path", ANSWERS)
def test_hops_and_categories_are_passed_on(stack, path):
    submit = asked(stack, path, x_warden_hop="1", x_warden_category="coding")
    assert (submit.hop, submit.category) == (1, "coding")
    submit = asked(stack, path)
    assert (submit.hop, submit.category) == (0, "")


@pytest.mark.parametrize("path", ANSWERS)
def test_other_servers_hear_the_name_that_the_caller_hears(http, gateway, path):
    response = http.post(path, json=ANSWERS[path])
    assert gateway.wait_for(Submit).trace == response.headers["x-request-id"]


@pytest.mark.parametrize(("name", "text"), [
    ("X-Warden-Kind", "poem"), ("X-Warden-Kind", ""), ("X-Warden-Hop", "-1"), ("X-Warden-Hop", "one"),
    ("X-Warden-Hop", ""), ("X-Warden-Hop", "1000"), ("X-Warden-Hop", "1.0"), ("X-Request-Priority", "urgent")])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/send"])
def test_headers_that_make_no_sense_are_400_and_named(http, gateway, path, name, text):
    response = http.post(path, json=ANSWERS[path], headers={name: text})
    assert response.status_code == 400 and f"{name}: " in response.text
    assert not gateway.all(Submit)
