"""The chat page in a real browser: what a person does with a conversation. Versions of an answer, editing, what is
kept, reasoning, priority and settings, and what the picker and the queue say.
"""

import msgspec
import pytest

from gateway.protocol import Message, Progress, Started, Submit
from tests.support.browser import needs_browser
from tests.support.chat_page import (
    ANSWER,
    IDLE,
    OPTIONS,
    STATUS,
    TALK,
    TEXT,
    WIDE_PX,
    answers,
    browser_of,
    click,
    ended,
    open_again,
    say,
    stack_of,
    stack_with_two_models,
    wide_page,
)
from tests.support.fake_gateway import accepted, done, error, model_info, tokens

pytestmark = [pytest.mark.integration, needs_browser]
running_stack = stack_of()
browser = browser_of(WIDE_PX)
stack = stack_with_two_models()
page = wide_page()


def test_a_regenerated_answer_stands_beside_the_earlier_one_and_the_chosen_one_is_sent_along(stack, page):
    answers(stack, "alpha", "beta", "gamma")
    say(page, "hello")
    ended(page, "alpha")
    assert page.run("document.querySelector('.versions').hidden")
    click(page, ".again")
    ended(page, "beta")
    assert stack.gateway.wait_for(Submit, 2).messages == [Message("user", "hello")]
    assert "2/2" in page.run(TALK) and "alpha" not in page.run(TALK)
    click(page, ".before")
    assert page.run(ANSWER) == "alpha" and "1/2" in page.run(TALK)
    say(page, "and now?")
    ended(page, "gamma")
    assert stack.gateway.wait_for(Submit, 3).messages == [
        Message("user", "hello"), Message("assistant", "alpha"), Message("user", "and now?")]


def test_an_answer_that_cannot_be_regenerated_stays_as_it_was(stack, page):
    answers(stack, "alpha")
    say(page, "hello")
    ended(page, "alpha")
    stack.gateway.on[Submit] = lambda s: [error(s.id, "queue_full", "50 waiting")]
    click(page, ".again")
    page.wait(f"{IDLE} && {TALK}.includes('50 waiting')")
    assert page.run(ANSWER) == "alpha" and page.run(TEXT) == ""


def test_an_edited_question_takes_the_place_of_the_last_one(stack, page):
    answers(stack, "alpha", "beta", "gamma")
    say(page, "one")
    ended(page, "alpha")
    say(page, "two")
    ended(page, "beta")
    page.run("document.getElementById('text').focus()")
    page.press("ArrowUp")
    assert page.run(TEXT) == "two" and "Editing" in page.run("document.getElementById('row').innerText")
    page.press("Escape")
    assert page.run(TEXT) == "" and "Editing" not in page.run("document.getElementById('row').innerText")
    click(page, ".edit")
    say(page, "two, but better")
    ended(page, "gamma")
    assert "beta" not in page.run(TALK)
    assert [said.content for said in stack.gateway.wait_for(Submit, 3).messages] == ["one", "alpha", "two, but better"]


def test_an_edited_question_that_is_refused_is_still_in_the_box_and_the_old_one_still_there(stack, page):
    answers(stack, "alpha")
    say(page, "one")
    ended(page, "alpha")
    stack.gateway.on[Submit] = lambda s: [error(s.id, "queue_full", "50 waiting")]
    click(page, ".edit")
    say(page, "one, but better")
    page.wait(f"{IDLE} && {TALK}.includes('50 waiting')")
    assert page.run(TEXT) == "one, but better" and "alpha" in page.run(TALK)
    answers(stack, "beta")
    page.run("document.getElementById('form').requestSubmit()")
    ended(page, "beta")
    assert "alpha" not in page.run(TALK) and page.run("document.querySelectorAll('.turn').length") == 1


def test_a_conversation_outlives_a_reload_and_ends_with_new_chat(stack, page):
    answers(stack, "**alpha**", "beta")
    say(page, "hello")
    ended(page, "alpha")
    click(page, ".again")
    ended(page, "beta")
    page.run(f"{TEXT} = 'half a thou'; document.getElementById('system').value = 'Be brief.'")
    open_again(page, stack)
    assert page.run(ANSWER) == "beta" and page.run(TEXT) == "half a thou" and "tiny \u00b7 1 token" in page.run(TALK)
    click(page, ".before")
    assert page.run("document.querySelector('.markdown strong').textContent") == "alpha"
    say(page, "and now?")
    assert [said.content for said in stack.gateway.wait_for(Submit, 3).messages] == [
        "Be brief.", "hello", "**alpha**", "and now?"]
    ended(page, "beta")
    click(page, "#fresh")
    open_again(page, stack)
    assert page.run(TALK) == "" and "this browser tab" in page.run("document.getElementById('hint').innerText")
    page.run("document.getElementById('system').value = ''")


def test_a_reload_in_the_middle_keeps_what_was_said_or_the_question(stack, page):
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "half")]
    say(page, "hello")
    page.wait(f"{TALK}.includes('half')")
    open_again(page, stack)
    assert page.run(ANSWER) == "half" and page.run("document.querySelector('.facts').innerText") != "", "it says why"
    stack.gateway.on[Submit] = stack.gateway.hold
    say(page, "more")
    stack.gateway.wait_for(Submit, 2)
    open_again(page, stack)
    assert page.run(TEXT) == "more" and page.run("document.querySelectorAll('.turn').length") == 1


def test_reasoning_is_folded_away(stack, page):
    def think(submit: Submit) -> list:
        thought = msgspec.structs.replace(tokens(submit.id, 0, "x"), text="", thinking="Let me *see* <b>now</b>.")
        return [accepted(submit.id, 1), thought]

    stack.gateway.on[Submit] = think
    say(page, "hello")
    page.wait(f"{STATUS} === 'Thinking ...' && !document.querySelector('.thinking').hidden")
    submit = stack.gateway.wait_for(Submit)
    stack.gateway.say(submit.id, tokens(submit.id, 1, "Yes."), done(submit.id))
    ended(page, "Yes.")
    assert "Let me" not in page.run(ANSWER) and not page.run("document.querySelector('.thinking').open")
    assert page.run("document.querySelector('.thoughts').textContent") == "Let me *see* <b>now</b>."


def test_priority_temperature_and_system_prompt_are_sent_and_the_choice_of_priority_and_model_lasts(stack, page):
    page.run("""for (const [id, value] of [["priority", "low"], ["model", "other"], ["temperature", "0.5"],
        ["system", "Be brief."]]) { document.getElementById(id).value = value;
        document.getElementById(id).dispatchEvent(new Event("change", {bubbles: true}));
        document.getElementById(id).dispatchEvent(new Event("input", {bubbles: true})); }""")
    assert page.run("document.querySelector('#settings summary').innerText") == "Settings (changed)"
    say(page, "hello")
    ended(page, "one two three")
    submit = stack.gateway.wait_for(Submit)
    assert (submit.priority, submit.model, submit.options.temperature) == ("low", "other", 0.5)
    assert submit.messages == [Message("system", "Be brief."), Message("user", "hello")]
    page.run("sessionStorage.clear(); window.addEventListener('pagehide', () => sessionStorage.clear())")
    open_again(page, stack)
    assert page.run("[document.getElementById('priority').value, document.getElementById('model').value]") == [
        "low", "other"]


def test_the_picker_tells_what_is_loaded_and_prefers_it(stack, page):
    assert page.run(OPTIONS) == ["tiny (loaded)", "other"]
    stack.gateway.models = [model_info("tiny", state="empty"), model_info("other")]
    say(page, "hello")
    ended(page, "one two three")
    page.wait(f"{OPTIONS}.join() === 'tiny,other (loaded)'")
    assert page.run("document.getElementById('model').value") == "tiny", "a choice stays"
    open_again(page, stack)
    assert page.run("document.getElementById('model').value") == "other"


def test_news_of_the_queue_are_shown_as_they_come(stack, page):
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), Progress(s.id, 3, "queued", 12.0, 1.0)]
    say(page, "hello")
    page.wait(f"{STATUS}.startsWith('Waiting: position 3, waiting for a free place, about 12 s')")
    request = stack.gateway.wait_for(Submit).id
    stack.gateway.say(request, Progress(request, 0, "loading", 4.2, 0.4))
    page.wait(f"{STATUS}.startsWith('Waiting: the model is loading (40 %), about 5 s')")
    stack.gateway.say(request, Started(request, "tiny", "mlx", "", 1, 0.0, 0.0))
    page.wait(f"{STATUS}.startsWith('The model reads the question')")
    stack.gateway.say(request, error(request, "worker_crashed", "the worker crashed"))
    page.wait(f"{IDLE} && {TALK}.includes('Error: the worker crashed')")
    assert page.run(TEXT) == "hello"
