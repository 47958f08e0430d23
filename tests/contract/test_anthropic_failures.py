"""The official `anthropic` package against a running stack when something is wrong."""

from collections.abc import Iterator
from pathlib import Path

import anthropic
import pytest

from tests.support.live_stack import NORMAL_PRESSURE, LiveStack
from tests.support.supervisor_home import wait_until

HI = [{"role": "user", "content": "hi there"}]
SLOW = [{"role": "user", "content": "#tokens=2000 #rate=20"}]
PATIENCE_S = 60.0
TOKENS = 5
PLENTY_TOKENS = 4000
RATE_MAX = 3
LOCKED = f"""
[server]
require_key = true
[limits]
rate_limit_max = {RATE_MAX}
[models.echo]
engine = "echo"
"""


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=base_url, api_key="any", max_retries=0, timeout=PATIENCE_S,
                             _strict_response_validation=True) as client:
        yield client


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack that wants keys, and lets each ask RATE_MAX times."""
    folder: Path = tmp_path_factory.mktemp("locked")
    stack = LiveStack(folder, LOCKED)
    try:
        yield stack.up()
    finally:
        stack.end()


def error_of(kind: type[anthropic.APIStatusError], ask, *args: object, **asked: object) -> anthropic.APIStatusError:
    with pytest.raises(kind) as found:
        ask(*args, **asked)
    body = found.value.body
    assert body["type"] == "error" and body["error"]["message"]
    assert found.value.request_id == body["request_id"]
    return found.value


def test_wrong_requests_are_errors_of_their_kind(client):
    asked = {"model": "echo", "max_tokens": TOKENS, "messages": HI}
    create = client.messages.create
    bad = error_of(anthropic.BadRequestError, create, **asked, extra_body={"temperature": 9})
    assert bad.type == "invalid_request_error" and bad.api_message.startswith("temperature: ")
    lost = error_of(anthropic.NotFoundError, create, **asked | {"model": "nix"})
    assert lost.type == "not_found_error" and lost.error_code == "model_not_found"
    error_of(anthropic.NotFoundError, client.models.retrieve, "nix")
    error_of(anthropic.NotFoundError, client.messages.count_tokens, model="nix", messages=HI)
    absent = error_of(anthropic.HTTPNotImplementedError, create, **asked | {
        "tools": [{"type": "web_search_20250305", "name": "web_search"}]})
    assert absent.response.headers["x-should-retry"] == "false"
    error_of(anthropic.HTTPNotImplementedError, client.messages.batches.list)


def test_a_prompt_that_is_too_long_is_said_as_clients_look_for_it(client):
    found = error_of(anthropic.BadRequestError, client.messages.create, model="random", max_tokens=TOKENS,
                     messages=[{"role": "user", "content": "word " * 9000}])
    assert found.api_message.startswith("prompt is too long") and found.error_code == "context_length_exceeded"


def test_a_schema_that_cannot_be_met_is_named(client):
    found = error_of(anthropic.BadRequestError, client.messages.create, model="random", max_tokens=TOKENS, messages=HI,
                     output_config={"format": {"type": "json_schema", "schema": {"type": "nothing"}}})
    assert found.api_message.startswith("output_config.format.schema: ")


def test_a_worker_that_dies_in_mid_answer_is_an_error_and_no_end(client, stack):
    seen: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as found, \
            client.messages.stream(model="echo", max_tokens=PLENTY_TOKENS, messages=SLOW) as stream:
        for event in stream:
            seen.append(event.type)
            if event.type == "text" and seen.count("text") == 1:
                stack.kill("worker-echo")
    assert found.value.body["error"]["type"] == "api_error" and found.value.error_code == "worker_crashed"
    assert "text" in seen and "message_stop" not in seen


def test_who_leaves_a_stream_ends_its_answer(client, stack):
    with client.messages.stream(model="echo", max_tokens=PLENTY_TOKENS, messages=SLOW) as stream:
        for event in stream:
            if event.type == "text":
                break
    wait_until("the answer is cancelled", lambda: stack.row("echo").gateway.unfinished == 0)
    assert stack.wait_journal("request_failed", process="http", status=499)


def test_what_is_short_of_memory_is_overloaded_and_says_when_to_come_again(client, stack):
    def refused() -> anthropic.APIStatusError | None:
        try:
            client.messages.create(model="echo", max_tokens=TOKENS, messages=HI,
                                   extra_headers={"X-Request-Priority": "low"})
        except anthropic.OverloadedError as error:
            return error
        return None

    stack.press(1.0)
    try:
        error = wait_until("the refusal of new work", refused)
    finally:
        stack.press(NORMAL_PRESSURE)
    assert (error.type, error.error_code) == ("overloaded_error", "memory_pressure")
    assert int(error.response.headers["retry-after"]) >= 1


def test_keys_are_needed_where_they_are_and_each_has_its_rate(locked):
    asked = {"model": "echo", "max_tokens": TOKENS, "messages": HI}

    def client_with(**given: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=locked.url, max_retries=0, _strict_response_validation=True, **given)

    secret = locked.warden("key", "create", "--name", "ann").stdout.strip()
    for wrong in ({"api_key": "nobody's"}, {"auth_token": "nobody's"}):
        assert error_of(anthropic.AuthenticationError, client_with(**wrong).messages.create,
                        **asked).type == "authentication_error"
        error_of(anthropic.AuthenticationError, client_with(**wrong).models.list)
    by_header, by_bearer = client_with(api_key=secret), client_with(auth_token=secret)
    assert [model.id for model in by_bearer.models.list()] == ["echo"]
    for number in range(RATE_MAX):
        assert (by_header, by_bearer)[number % 2].messages.create(**asked).content
    limited = error_of(anthropic.RateLimitError, by_header.messages.create, **asked)
    assert limited.type == "rate_limit_error" and int(limited.response.headers["retry-after"]) >= 1
