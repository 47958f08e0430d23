"""The chat page in a real browser, in front of the real HTTP face: what stays in view when there is no answer."""

from collections.abc import Iterator

import pytest

from gateway.protocol import Submit
from tests.support.browser import Browser, find_browser
from tests.support.fake_gateway import accepted, done, error, tokens
from tests.support.http_stack import HttpStack

pytestmark = [pytest.mark.integration, pytest.mark.skipif(find_browser() is None, reason="there is no Chromium here")]
TALK = "document.getElementById('talk').innerText"
STATUS = "document.getElementById('status').innerText"
TEXT = "document.getElementById('text').value"
IDLE = "document.getElementById('stop').disabled"


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory) -> Iterator[HttpStack]:
    with HttpStack(tmp_path_factory.mktemp("h")) as stack:
        yield stack


@pytest.fixture
def stack(running_stack) -> HttpStack:
    running_stack.reset()
    return running_stack


@pytest.fixture
def page(stack, tmp_path) -> Iterator[Browser]:
    with Browser(f"{stack.url}/chat", tmp_path, width_px=400) as page:
        page.wait("document.getElementById('model').options.length > 0")
        yield page


def say(page: Browser, words: str) -> None:
    page.run(f"{TEXT} = '{words}'; document.getElementById('form').requestSubmit()")


def click(page: Browser, button: str) -> None:
    page.run(f"document.getElementById('{button}').click()")


def test_an_answer_is_shown_with_its_question(page):
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('one two three')")
    assert page.run(TALK).startswith("hello") and page.run(STATUS).startswith("3 tokens") and page.run(TEXT) == ""


def test_a_question_without_a_word_of_answer_goes_back_to_the_box_and_nowhere_else(stack, page):
    stack.gateway.on[Submit] = lambda s: [error(s.id, "queue_full", "50 waiting")]
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('50 waiting')")
    assert page.run(TEXT) == "hello" and "hello" not in page.run(TALK)
    stack.gateway.on[Submit] = stack.gateway.hold
    say(page, "hello two")
    stack.gateway.wait_for(Submit, 2)
    click(page, "stop")
    page.wait(f"{IDLE} && {STATUS} === 'Stopped.'")
    assert page.run(TEXT) == "hello two" and "hello" not in page.run(TALK)


def test_waiting_counts_its_seconds_until_the_first_word(stack, page):
    stack.gateway.on[Submit] = stack.gateway.hold
    say(page, "hello")
    page.wait(f"/waited [1-9] s/.test({STATUS})")
    request = stack.gateway.wait_for(Submit).id
    stack.gateway.say(request, tokens(request, 0, "first"))
    page.wait(f"{STATUS} === 'Answering ...'")
    stack.gateway.say(request, done(request))
    page.wait(IDLE)


def test_a_new_chat_in_mid_answer_starts_with_nothing(stack, page):
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "first")]
    say(page, "hello")
    page.wait(f"{TALK}.includes('first')")
    click(page, "fresh")
    page.wait(IDLE)
    assert (page.run(TALK), page.run(STATUS).strip(), page.run(TEXT)) == ("", "", "")


def test_a_server_that_is_gone_is_named_with_the_remedy(page):
    page.call("Network.enable")
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('warden up')")
    assert page.run(TALK) == "Error: The server cannot be reached; is `warden up` running?"


def test_at_400_px_the_head_stays_on_one_line_and_the_hint_fits(page):
    page.run("document.getElementById('model').replaceChildren(new Option('an/organisation-and-its-model-4bit'))")
    heights = "[...document.querySelectorAll('h1, #fresh')].map((e) => e.getClientRects()[0].height)"
    assert max(page.run(heights)) < 45 and page.run("document.documentElement.scrollWidth") <= 400
    hint = ("(() => { const box = document.getElementById('text'), pen = document.createElement('canvas')"
            ".getContext('2d'); pen.font = getComputedStyle(box).font; const edge = getComputedStyle(box);"
            "return box.clientWidth - parseFloat(edge.paddingLeft) - parseFloat(edge.paddingRight)"
            "- pen.measureText(box.placeholder).width; })()")
    assert page.run(hint) > 0
