"""The chat page in a real browser, in front of the real HTTP face: what stays in view when there is no answer, the
switch for Victoria, and a key where one is needed.
"""

from collections.abc import Iterator

import pytest

from gateway.protocol import ListModels, Message, Note, Started, Submit
from tests.support.browser import PHONE_PX, Browser, needs_browser
from tests.support.chat_page import IDLE, STATUS, TALK, TEXT, browser_of, click, opened, say, stack_of
from tests.support.fake_gateway import accepted, done, error, tokens
from tests.support.http_stack import TOML, HttpStack

pytestmark = [pytest.mark.integration, needs_browser]
SWITCH_SHOWN = "!document.getElementById('switch').hidden"
PICKER = "document.querySelector('label[for=model]').textContent"
FOCUS = "document.activeElement.id"
VICTORIA = '[relays]\nvictoria_url = "http://127.0.0.1:9"\n'
LOCKED = TOML.replace("[server]", "[server]\nrequire_key = true")


running_stack = stack_of()
with_victoria = stack_of(TOML + VICTORIA)
locked = stack_of(LOCKED)
browser = browser_of(PHONE_PX)


@pytest.fixture
def stack(running_stack) -> HttpStack:
    running_stack.reset()
    return running_stack


@pytest.fixture
def page(stack, browser) -> Iterator[Browser]:
    yield from opened(browser, stack)


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
    click(page, "#stop")
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
    click(page, "#fresh")
    page.wait(IDLE)
    assert (page.run(TALK), page.run(STATUS).strip(), page.run(TEXT)) == ("", "", "")


def test_a_server_that_is_gone_is_named_with_the_remedy(page):
    page.set_offline(True)
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


def test_an_error_goes_when_an_answer_comes(stack, page):
    stack.gateway.on[Submit] = lambda s: [error(s.id, "queue_full", "50 waiting")]
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('50 waiting')")
    stack.gateway.on[Submit] = stack.gateway.answer
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('one two three')")
    assert "50 waiting" not in page.run(TALK)


def test_a_picker_without_a_model_can_be_seen(page):
    page.run("document.getElementById('model').replaceChildren()")
    assert page.run("document.getElementById('model').getClientRects()[0].width") >= 120
    assert page.run(PICKER) == "Model" and page.run("document.documentElement.scrollWidth") <= 400


# -- Victoria ------------------------------------------------------------------------------------------------------


@pytest.fixture
def agents_page(with_victoria, browser) -> Iterator[Browser]:
    with_victoria.reset()
    for page in opened(browser, with_victoria):
        page.wait(SWITCH_SHOWN)
        yield page


def test_without_victoria_there_is_no_switch_and_a_chat_is_a_chat(stack, page):
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('one two three')")
    assert not page.run(SWITCH_SHOWN)
    submit = stack.gateway.wait_for(Submit)
    assert (submit.kind, submit.priority, submit.victoria) == ("chat", "high", False)


def test_victoria_answers_and_her_steps_are_shown_until_she_does(with_victoria, agents_page):
    page, gateway = agents_page, with_victoria.gateway
    gateway.on[Submit] = lambda s: [accepted(s.id, gateway.epoch), Started(s.id, "victoria", "victoria", "", 1, 0, 0),
                                    Note(s.id, "start", ""), Note(s.id, "step", "looks it up")]
    say(page, "hello")
    page.wait(f"{STATUS}.startsWith('looks it up')")
    submit = gateway.wait_for(Submit)
    assert submit.victoria and submit.session and submit.kind == "chat"
    gateway.say(submit.id, tokens(submit.id, 0, "It <b>is</b>."), done(submit.id, route="victoria"))
    page.wait(IDLE)
    assert page.run(STATUS) == "Answered by Victoria" and "It <b>is</b>." in page.run(TALK)
    assert "looks it up" not in page.run(TALK)
    gateway.on[Submit] = gateway.answer
    say(page, "and now?")
    page.wait(f"{IDLE} && {TALK}.includes('three')")
    again = gateway.wait_for(Submit, 2)
    assert again.session == submit.session and again.messages == [
        Message("user", "hello"), Message("assistant", "It <b>is</b>."), Message("user", "and now?")]
    assert page.run(STATUS) == "Answered by tiny"
    click(page, "#fresh")
    say(page, "hello")
    assert gateway.wait_for(Submit, 3).session != submit.session


def test_while_victoria_answers_the_picker_says_when_it_counts(agents_page):
    page = agents_page
    shown = "document.querySelector('label[for=model]').getClientRects()[0].width > 50"
    assert page.run(PICKER) == "If Victoria cannot:" and page.run(shown)
    assert page.run("document.documentElement.scrollWidth") <= 400
    click(page, "#victoria")
    assert page.run(PICKER) == "Model" and not page.run(shown)
    click(page, "#victoria")
    assert page.run(PICKER) == "If Victoria cannot:"


def test_an_agent_that_breaks_off_leaves_what_it_said_and_the_error(with_victoria, agents_page):
    with_victoria.gateway.on[Submit] = lambda s: [tokens(s.id, 0, "It is"), error(s.id, "upstream_failed", "broke off")]
    say(agents_page, "hello")
    agents_page.wait(f"{IDLE} && {TALK}.includes('Error: broke off')")
    assert "It is" in agents_page.run(TALK)


def test_the_switch_works_by_keyboard_and_is_believed(with_victoria, agents_page):
    page = agents_page
    page.run("document.getElementById('model').focus()")
    page.press("Tab")
    assert page.run(FOCUS) == "victoria"
    page.press(" ")
    assert not page.run("document.getElementById('victoria').checked")
    assert page.run("document.documentElement.scrollWidth") <= 400
    say(page, "hello")
    page.wait(f"{IDLE} && {TALK}.includes('one two three')")
    submit = with_victoria.gateway.wait_for(Submit)
    assert not submit.victoria and submit.kind == "chat"


# -- a key ---------------------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_where_one_is_needed(locked, tmp_path):
    locked.reset()
    with Browser(f"{locked.url}/chat", tmp_path) as page:
        page.wait("!document.getElementById('key').hidden")
        page.wait(f"{FOCUS} === 'key' && {STATUS}.includes('Enter an API key')")
        say(page, "hello")
        page.wait(f"{IDLE} && {TALK}.includes('Error: Enter an API key')")
        assert "Bearer" not in page.run("document.body.innerText")
        page.run("document.getElementById('key').focus()")
        page.call("Input.insertText", text="warden-abc")
        page.press("Enter")
        page.wait("document.getElementById('model').options.length > 0")
        assert locked.gateway.wait_for(ListModels).key == "warden-abc"
        assert (page.run(TALK), page.run(STATUS).strip()) == ("", ""), "what was wrong is over"
        say(page, "hello")
        page.wait(f"{IDLE} && {TALK}.includes('one two three')")
        assert locked.gateway.wait_for(Submit).key == "warden-abc"
        assert "warden-abc" not in page.run("document.body.innerText")
