"""The table deleted or cut short under a running stack: answers go on, and control makes another table."""

import threading

import pytest

from gateway.protocol import Done, Tokens
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

SETTINGS = """
[control]
prewarm = 0
[models.a]
engine = "echo"
[models.a.echo]
rate_per_s = 20
"""


@pytest.mark.parametrize("how", ["deleted", "cut short"])
def test_the_answer_goes_on_and_the_stack_mends_itself(make_stack, how):
    stack = make_stack(SETTINGS).up()
    events: list = []
    begun = threading.Event()

    def read() -> None:
        with stack.client() as client:
            for event in client.generate(prompt="#tokens=60"):
                events.append(event)
                if isinstance(event, Tokens):
                    begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    boot = stack.boot_id()
    if how == "deleted":
        stack.paths.table.unlink()
    else:
        with stack.paths.table.open("r+b") as table:
            table.truncate(1000)
    wait_until("another table", lambda: stack.boot_id() not in (0, boot))
    stack.wait_ready()
    reader.join(30)
    assert isinstance(events[-1], Done) and events[-1].usage.completion_tokens == 60, stack.logs()
    with stack.client() as client:
        assert isinstance(list(client.generate(prompt="#tokens=2"))[-1], Done)
    assert stack.starts_of("a") == 1, "its worker served on"
