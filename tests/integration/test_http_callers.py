"""Who may do what over HTTP, by real processes: keys, models for agents, limits of a key, and no way around them."""

import pytest

from tests.support.lan import lan_address
from tests.support.live_stack import LiveStack, Reply
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

SETTINGS = """
[server]
user_header = "X-OpenWebUI-User-Id"
[control]
prewarm = 0
[limits]
rate_limit_max = 0
[models.tiny]
engine = "echo"
aliases = ["small:1b"]
[models.coder]
engine = "echo"
[models.helper]
engine = "echo"
audience = "agents"
aliases = ["tinyllama:1.1b"]
[categories]
coding = "coder"
messages = "helper"
"""
HI = [{"role": "user", "content": "#tokens=2"}]
RESERVED = ("helper", "helper:latest", "tinyllama:1.1b", "HELPER")
LISTS = {"/api/tags": "models", "/v1/models": "data", "/models": "models"}


@pytest.fixture(scope="module")
def open_stack(tmp_path_factory):
    """No key is needed, but there are some."""
    shared = LiveStack(tmp_path_factory.mktemp("open"), SETTINGS).up()
    shared.keys = {name: create(shared, name, *how) for name, how in {
        "agent": ("--audience", "agent"), "narrow": ("--models", "small:1b", "--max-priority", "low"),
        "rated": ("--rate", "2")}.items()}
    wait_until("the keys to be known", lambda: names(shared, "/v1/models", "rated"))
    yield shared
    shared.end()


def create(stack: LiveStack, name: str, *how: str) -> str:
    return stack.warden("key", "create", "--name", name, *how).stdout.split()[0]


def auth(stack: LiveStack, key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.keys.get(key, key)}"} if key else {}


def ask(stack: LiveStack, path: str, key: str = "", **fields: object) -> Reply:
    headers = fields.pop("headers", {})
    body = {"messages": HI, "prompt": HI[0]["content"], "content": HI[0]["content"], "stream": False} | fields
    return stack.ask_http(path, body, **auth(stack, key) | headers)


def names(stack: LiveStack, path: str, key: str = "") -> list[str]:
    """Of the models in a list, without tags; none if it is refused."""
    status, body = stack.get(path, **auth(stack, key))
    return [str(each.get("id") or each.get("name")).removesuffix(":latest") for each in body[LISTS[path]]
            ] if status == 200 else []


ANSWERS = ("/api/chat", "/api/generate", "/v1/chat/completions", "/chat/send")


@pytest.mark.parametrize("path", LISTS)
def test_everybody_sees_the_models_that_are_for_them(open_stack, path):
    shows_aliases = path == "/api/tags"
    tiny = ["tiny", "small:1b"] if shows_aliases else ["tiny"]
    helper = ["helper", "tinyllama:1.1b"] if shows_aliases else ["helper"]
    assert names(open_stack, path) == [*tiny, "coder"]
    assert names(open_stack, path, "agent") == [*tiny, "coder", *helper]
    assert names(open_stack, path, "narrow") == tiny


@pytest.mark.parametrize("path", ANSWERS)
def test_a_person_is_refused_a_reserved_model_by_all_its_names(open_stack, path):
    tries = [ask(open_stack, path, model=name) for name in RESERVED]
    tries += [ask(open_stack, path, key, model="helper") for key in ("narrow", "rated", "not needed")]
    tries.append(ask(open_stack, path, headers={"X-Warden-Category": "messages"}))
    tries.append(ask(open_stack, path, model="helper", headers={"X-Warden-Kind": "agent"}))
    assert {reply.status for reply in tries} == {403}
    assert all("reserved for agents" in str(reply.body) for reply in tries)
    answered = ask(open_stack, path, "agent", model="helper")
    assert answered.status == 200 and answered.headers["x-warden-model"] == "helper"


def test_nor_may_a_person_look_at_it_load_it_or_unload_it(open_stack):
    tries = [open_stack.ask_http("/api/show", {"model": "helper"}), open_stack.ask_http("/api/generate", {
        "model": "helper"}), open_stack.ask_http("/api/chat", {"model": "tinyllama:1.1b", "keep_alive": 0})]
    assert {reply.status for reply in tries} == {403} and open_stack.get("/v1/models/helper")[0] == 403
    assert open_stack.ask_http("/api/show", {"model": "helper"}, **auth(open_stack, "agent")).status == 200


@pytest.mark.parametrize("path", ANSWERS)
def test_a_key_bounds_class_and_models(open_stack, path):
    reply = ask(open_stack, path, "narrow", headers={"X-Request-Priority": "high"})
    assert reply.status == 200 and reply.headers["x-warden-priority"] == "low (not high)"
    assert ask(open_stack, path, "narrow", model="coder").status == 403
    assert ask(open_stack, path, "narrow", headers={"X-Warden-Category": "coding"}).status == 403


def test_a_category_chooses_a_model(open_stack):
    assert ask(open_stack, "/api/generate", category="coding").headers["x-warden-model"] == "coder"
    assert ask(open_stack, "/v1/chat/completions", headers={"X-Warden-Category": "coding"}).body["model"] == "coder"


def test_the_rate_of_a_key_counts_answers_alone_and_nobody_elses(open_stack):
    replies = [ask(open_stack, path, "rated") for path in ("/api/chat", "/v1/chat/completions", "/chat/send")]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 90
    for path in ("/api/tags", "/v1/models", "/models", "/status", "/health", "/queue/stats", "/api/ps"):
        for _ in range(4):
            assert open_stack.get(path, **auth(open_stack, "rated"))[0] == 200
    assert ask(open_stack, "/api/chat").status == ask(open_stack, "/api/chat", "agent").status == 200


def test_a_revoked_key_is_refused_and_an_unknown_one_too(open_stack):
    key = create(open_stack, "short-lived")
    wait_until("the key to be known", lambda: ask(open_stack, "/api/chat", key).status == 200)
    open_stack.warden("key", "revoke", "short-lived")
    wait_until("the key to be refused", lambda: ask(open_stack, "/api/chat", key).status == 401)
    assert ask(open_stack, "/v1/chat/completions", "warden-unknown").body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(("hop", "status"), [("0", 200), ("1", 200), ("2", 508)])
def test_a_request_that_was_handed_on_twice_goes_in_a_circle(open_stack, hop, status):
    for path in ANSWERS:
        reply = ask(open_stack, path, headers={"X-Warden-Hop": hop})
        assert reply.status == status
        assert (reply.headers.get("x-should-retry") == "false") == (status == 508)


def test_without_ollama_an_image_is_501_that_says_so(open_stack):
    image = {"role": "user", "content": "what is it?", "images": ["aGk="]}
    reply = ask(open_stack, "/api/chat", messages=[image])
    assert reply.status == 501 and "Ollama" in reply.body["error"]


def test_where_a_key_is_needed_a_new_gateway_needs_it_from_its_first_request(make_stack):
    stack = make_stack(SETTINGS.replace("[server]", "[server]\nrequire_key = true"))
    stack.up()
    stack.keys = {"ann": create(stack, "ann")}
    wait_until("the key to be known", lambda: ask(stack, "/api/chat", "ann").status == 200)
    stack.kill("gateway")
    seen = [ask(stack, "/api/chat", key).status for key in ("", "made up", "warden-made-up") for _ in range(3)]
    assert set(seen) <= {401, 503} and seen[-1] == 401, "503: http has not said hello to the new one yet"
    assert ask(stack, "/api/chat", "ann").status == 200
    assert [stack.get(path)[0] for path in ("/health", "/livez", "/queue/stats", "/status")] == [200] * 4
    assert [stack.get(path)[0] for path in LISTS] == [401] * 3


def test_nobody_who_may_read_health_learns_of_models_for_agents(open_stack):
    asked = ask(open_stack, "/api/chat", "agent", model="helper")
    assert asked.status == 200 and ask(open_stack, "/api/chat", model="tiny").status == 200
    for key in ("", "agent"):
        health = open_stack.get("/health", **auth(open_stack, key))[1]
        assert "tiny" in health["active_model_requests"] and "helper" not in str(health)
        assert health["total_models"] == 2


def test_other_machines_get_in_by_address_and_with_a_key(make_stack):
    address = lan_address()
    if not address:
        pytest.skip("this machine has no address but those of the loopback")
    stack = make_stack(SETTINGS.replace("[server]", '[server]\nhost = "0.0.0.0"'))
    stack.keys = {"ann": create(stack, "ann")}
    stack.up()
    here, stack.url = stack.url, f"http://{address}:{stack.env['WARDEN_PORT']}"
    wait_until("the key to be known", lambda: names(stack, "/v1/models", "ann") == ["tiny", "coder"])
    assert ask(stack, "/api/chat", "ann").status == 200 and ask(stack, "/api/chat").status == 401
    assert stack.get("/livez", Origin="http://192.168.1.7")[0] == stack.get("/livez", Host="evil.example")[0] == 403
    for key in ("", "ann"):
        for path in ("/health", "/queue/stats"):
            assert stack.get(path, **auth(stack, key))[1].keys() == {"status", "service", "version"}
        assert stack.get("/status", **auth(stack, key))[1]["backends"] == {"mlx": {"healthy": True}}
    stack.url = here
    assert "memory" in stack.get("/health")[1] and "queue_size" in stack.get("/queue/stats")[1]
