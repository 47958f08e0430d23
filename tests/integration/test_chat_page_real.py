"""The chat page in a real browser in front of a real stack: a real model streams into it, Stop stops the work and not
only the page, and who waits for a model that was evicted is told that it loads.
"""

from collections.abc import Iterator

import pytest

from control.states import Phase
from tests.support.artefacts import artefact
from tests.support.browser import Browser, needs_browser
from tests.support.chat_page import IDLE, OPTIONS, STATUS, TALK, say
from tests.support.live_stack import LiveStack
from tests.support.stack_fixtures import shared_stack
from tests.support.supervisor_home import wait_until

pytestmark = [pytest.mark.integration, needs_browser]
WITHIN_S = 60.0  # a model is loaded, on a machine with other work
QUESTION = "What is mlx-warden?"
LOAD_S = 3  # longer than until the gateway tells of the queue
stack = shared_stack(f"""
[control]
prewarm = 0
[models.guide]
path = "guide"
[models.slow]
engine = "echo"
[models.slow.echo]
load_s = {LOAD_S}
""")


@pytest.fixture(scope="module")
def browser(stack, tmp_path_factory) -> Iterator[Browser]:
    with Browser(f"{stack.url}/chat", tmp_path_factory.mktemp("b")) as page:
        yield page


@pytest.fixture
def page(stack, browser) -> Iterator[Browser]:
    browser.run("document.getElementById('fresh').click()")
    browser.wait("document.getElementById('model').options.length === 2")
    yield browser
    assert browser.errors == []


def ask(page: Browser, model: str, words: str) -> None:
    page.run(f"document.getElementById('model').value = '{model}'")
    say(page, words)


def test_the_built_in_model_answers_and_says_how_fast(page):
    ask(page, "guide", QUESTION)
    page.wait(f"{IDLE} && document.querySelector('.acts.answered:not([hidden])') !== null", WITHIN_S)
    facts = page.run("document.querySelector('.facts').innerText")
    assert facts.startswith("guide \u00b7 ") and "tokens/s" in facts and "by mlx" in facts
    assert len(page.run("document.querySelector('.markdown').innerText")) > len(QUESTION)
    page.screenshot(artefact("chat-guide.png"))


def test_stop_ends_the_work_and_keeps_what_was_said(stack: LiveStack, page):
    before = stack.gateway_words().cancelled
    ask(page, "slow", "#tokens=2000 #rate=20")
    page.wait(f"{TALK}.includes('t5 t6') && {STATUS} === 'Answering ...'", WITHIN_S)
    page.press("Escape")
    page.wait(f"{IDLE} && {STATUS} === 'Stopped.'")
    wait_until("the cancel to be counted", lambda: stack.gateway_words().cancelled > before)
    wait_until("nothing to run", lambda: stack.get("/queue/stats")[1]["active_requests"] == 0)
    assert "t5 t6" in page.run("document.querySelector('.markdown').innerText")
    assert "stopped" in page.run("document.querySelector('.facts').innerText")


def test_a_model_that_was_evicted_is_loaded_again_while_the_page_says_so(stack: LiveStack, page):
    stack.load("slow")
    stack.evict("slow")
    stack.wait_phase("slow", Phase.EMPTY, Phase.DOWN)
    ask(page, "slow", "are you back?")
    page.wait(f"{STATUS}.includes('the model is loading')")
    page.wait(f"{OPTIONS}.includes('slow (loaded)') && {IDLE}", WITHIN_S)
    assert page.run("document.querySelector('.markdown').innerText").startswith("t0 t1")
