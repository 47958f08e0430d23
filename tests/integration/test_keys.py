"""API keys over HTTP with a whole stack: made, used, clamped, kept to their models and rates, and revoked."""

from collections.abc import Iterator

import pytest

from tests.support.http_answers import HttpAnswer
from tests.support.live_stack import LiveStack, Reply
from tests.support.stack_fixtures import shared_stack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

WINDOW_S = 3600
RATE = 3
shared = shared_stack(f"""
[control]
prewarm = 0
[server]
require_key = true
user_header = "X-OpenWebUI-User-Id"
[limits]
max_running = 1
rate_limit_max = {RATE}
rate_limit_window_s = {WINDOW_S}
[models.a]
engine = "echo"
aliases = ["other:1b"]
preload = true
[models.b]
engine = "echo"
[models.small]
engine = "echo"
audience = "agents"
""")


class Key:
    """One that was made by `warden key create`, as its owner uses it."""

    def __init__(self, stack: LiveStack, name: str, *flags: str) -> None:
        self.name, self._stack = name, stack
        self.secret = stack.warden("key", "create", "--name", name, *flags).stdout.strip()
        wait_until("the key to be known", lambda: self.get("/api/tags")[0] == 200)

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def get(self, path: str) -> tuple[int, dict]:
        return self._stack.get(path, **self.header)

    def ask(self, prompt: str = "#tokens=2", model: str = "a", **headers: str) -> Reply:
        return self._stack.ask_http("/v1/chat/completions", body_of(prompt, model), **self.header, **headers)

    def begin(self, prompt: str, **headers: str) -> HttpAnswer:
        return HttpAnswer(self._stack.url, "/v1/chat/completions", body_of(prompt, "a") | {"stream": True},
                          **self.header, **headers)

    def names(self) -> set[str]:
        return {each["id"] for each in self.get("/v1/models")[1]["data"]}

    def revoke(self) -> None:
        self._stack.warden("key", "revoke", self.name)


def body_of(prompt: str, model: str) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": prompt}]}


@pytest.fixture
def key(shared: LiveStack) -> Iterator[Key]:
    made = Key(shared, "anna", "--rate", "0")
    yield made
    made.revoke()


def test_without_a_known_key_nobody_is_answered_and_nothing_leaks(shared, key):
    for headers in ({}, {"Authorization": "Bearer warden-" + "0" * 64}, {"Authorization": "Bearer ollama"}):
        for path in ("/v1/chat/completions", "/api/chat", "/chat/send"):
            refused = shared.ask_http(path, body_of("hello", "a") | {"content": "hello"}, **headers)
            assert refused.status == 401 and "warden key create" in str(refused.body), path
        assert shared.get("/v1/models", **headers)[0] == 401
    assert shared.get("/livez")[0] == 200 and shared.get("/health")[0] == 200, "operations need none"
    assert key.ask().status == 200
    written = "".join(path.read_text(errors="replace") for path in shared.paths.logs.glob("*.log"))
    assert key.secret not in written and key.secret not in (shared.home_path / "keys.json").read_text()


def test_a_revoked_key_is_refused_within_a_second_and_its_answer_goes_on(shared):
    gone = Key(shared, "gone", "--rate", "0")
    answer = gone.begin("#tokens=200 #rate=100").wait_text()
    gone.revoke()
    wait_until("the refusal", lambda: gone.ask().status == 401)
    answer.wait_end()
    assert answer.ended_well and answer.text.endswith("t199"), "what has begun is not broken off"


def test_a_key_that_allows_medium_gets_medium_and_is_told(shared):
    clamped = Key(shared, "background", "--rate", "0", "--max-priority", "medium")
    for asked, told in {"high": "medium (not high)", "medium": None, "low": None}.items():
        reply = clamped.ask(X_Request_Priority=asked)
        assert (reply.status, reply.headers.get("x-warden-priority")) == (200, told), asked


def test_a_key_for_some_models_sees_and_gets_no_others(shared):
    only = Key(shared, "only-a", "--rate", "0", "--models", "other:1b")
    assert only.names() == {"a"}
    assert only.ask(model="other:1b").status == 200
    refused = only.ask(model="b")
    assert refused.status == 403 and refused.body["error"]["code"] == "model_not_allowed"
    assert refused.body["error"]["type"] == "permission_error"
    assert shared.get("/v1/models/b", **only.header)[0] == 403
    assert shared.row("b").control.starts == 0


def test_reserved_models_are_listed_and_answer_for_agents_alone(shared, key):
    robot = Key(shared, "robot", "--rate", "0", "--audience", "agent")
    assert (key.names(), robot.names()) == ({"a", "b"}, {"a", "b", "small"})
    assert key.ask(model="small").body["error"]["code"] == "model_reserved"
    assert robot.ask(model="small").headers["x-warden-model"] == "small"


def test_after_its_rate_a_key_gets_429_with_the_time_to_wait(shared):
    quick = Key(shared, "quick")
    for left in reversed(range(RATE)):
        reply = quick.ask()
        told = [reply.headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining")]
        assert (reply.status, told) == (200, [str(RATE), str(left)])
    refused = quick.ask()
    assert refused.status == 429 and refused.body["error"]["type"] == "rate_limit_error"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    reset_s = int(refused.headers["x-ratelimit-reset-requests"].removesuffix("s"))
    assert 0 < reset_s <= WINDOW_S and int(refused.headers["retry-after"]) == min(reset_s, 120)
    for path in ("/api/chat", "/chat/send"):
        body = body_of("hello", "a") | {"content": "hello"}
        assert shared.ask_http(path, body, **quick.header).status == 429, "one rate for all dialects"
    assert quick.get("/api/tags")[0] == 200 and quick.get("/queue/stats")[0] == 200, "only answers are limited"


@pytest.mark.parametrize("user", [None, "second"], ids=["two keys", "two users of one key"])
def test_callers_share_a_class_fairly(shared, key, user):
    """One has forty waiting, the other two: these are not behind all forty."""
    other = key if user else Key(shared, "few", "--rate", "0")
    blocker = key.begin("#tokens=1000000 #rate=20", X_Request_Priority="high").wait_text()
    many = [key.begin("#tokens=1 #rate=20", X_OpenWebUI_User_Id="first") for _ in range(40)]
    wait_until("forty to wait", lambda: shared.gateway_words().queued_medium == 40)
    few = [other.begin("#tokens=1 #rate=20", **({"X_OpenWebUI_User_Id": user} if user else {})) for _ in range(2)]
    wait_until("two more", lambda: shared.gateway_words().queued_medium == 42)
    blocker.leave()
    for answer in few:
        assert answer.wait_end().ended_well
    waiting = [answer for answer in many if not answer.ended]
    for answer in waiting:
        answer.leave()
    assert len(waiting) > 20, f"the two waited for {40 - len(waiting)}"
