"""The `openai` package against a real stack when things go wrong: a worker that dies, a caller that leaves, no key."""

import openai
import pytest

from tests.support.openai_client import openai_client, text_of, user
from tests.support.stack_fixtures import make_stack
from tests.support.supervisor_home import wait_until

__all__ = ["make_stack"]

LONG = {"model": "echo", "messages": user("#tokens=100000 #rate=50"), "stream": True}
KEYED = """
[control]
prewarm = 0
[server]
require_key = true
[models.echo]
engine = "echo"
"""


def active(stack) -> int:
    with stack.client() as asked:
        return sum(model.active for model in asked.list_models())


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_dies_in_mid_stream_is_an_error_and_no_end(stack, base_url, count):
    with openai_client(base_url) as client:
        stream = client.chat.completions.create(**LONG, n=count)
        heard = [next(stream) for _ in range(2 * count)]
        stack.kill("worker-echo")
        with pytest.raises(openai.APIError) as caught:
            heard.extend(stream)
    assert caught.value.code == "worker_crashed" and text_of(heard)
    assert all(choice.finish_reason is None for chunk in heard for choice in chunk.choices)


@pytest.mark.parametrize("count", [1, 3])
def test_a_caller_that_leaves_has_its_work_cancelled(stack, base_url, count):
    with openai_client(base_url) as client:
        stream = client.chat.completions.create(**LONG, n=count)
        next(stream)
        wait_until("all choices to be at work", lambda: active(stack) == count)
        stream.close()
        wait_until("nobody to be at work", lambda: active(stack) == 0)


def test_without_a_key_where_one_is_needed(make_stack):
    stack = make_stack(KEYED).up()
    key = stack.warden("key", "create", "--name", "ann").stdout.strip()
    with openai_client(stack.url) as nobody, openai_client(stack.url, api_key=key) as ann:
        wait_until("the key to be known", lambda: stack.get("/v1/models", Authorization=f"Bearer {key}")[0] == 200)
        assert [model.id for model in ann.models.list()] == ["echo"]
        for ask in (nobody.models.list, lambda: nobody.chat.completions.create(model="echo", messages=user("hi"))):
            with pytest.raises(openai.AuthenticationError) as caught:
                ask()
            assert caught.value.code == "unauthorized"
