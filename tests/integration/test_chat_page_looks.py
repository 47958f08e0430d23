"""The chat page in a real browser: reading it. Copying, scrolling, selecting, keyboard and screen reader; how it looks
in light and dark and on a phone, of which screenshots are kept.
"""

import pytest

from gateway.protocol import Progress, Submit
from tests.support.artefacts import artefact
from tests.support.browser import PHONE_PX, needs_browser
from tests.support.chat_page import (
    IDLE,
    STATUS,
    TALK,
    WIDE_PX,
    answers,
    browser_of,
    click,
    ended,
    say,
    stack_of,
    stack_with_two_models,
    wide_page,
)
from tests.support.fake_gateway import accepted, done, tokens

pytestmark = [pytest.mark.integration, needs_browser]
SCROLL = "document.getElementById('scroll')"
AT_END = f"{SCROLL}.scrollHeight - {SCROLL}.scrollTop - {SCROLL}.clientHeight < 8"
REACHED = ["Skip to the message", "Dashboard", "Chat", "fresh", "model", "text", "priority", "Settings", "send"]
LONG = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(60))
SHOWN = """Three ways to **merge two dictionaries**, newest first:

```python
defaults = {"host": "127.0.0.1", "port": 11435}
merged = defaults | {"port": 8080}   # Python 3.9 and later; the right one wins, and neither of the two is changed
```

| Way | Since | Changes the first? |
|---|:-:|---|
| `a \\| b` | 3.9 | no |
| `a.update(b)` | always | **yes** |

1. Prefer `|` in new code.
   - it reads well
2. Use `update` when you *want* to change the first.

> Nested dictionaries are ~~merged~~ replaced: see the [documentation](https://docs.python.org/3/library/stdtypes.html).
"""
running_stack = stack_of()
browser = browser_of(WIDE_PX)
stack = stack_with_two_models()
page = wide_page()


def test_an_answer_is_copied_as_it_was_written(stack, page):
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    answers(stack, SHOWN)
    say(page, "hello")
    ended(page, "Three ways")
    code = SHOWN.split("```")[1].removeprefix("python\n")[:-1]
    for button, copied in ((".answered .copy", SHOWN), (".fence button", code), (".asked .copy", "hello")):
        click(page, button)
        page.wait(f"document.querySelector('{button}').innerText === 'Copied'")
        assert page.run("navigator.clipboard.readText()") == copied


def test_what_a_page_that_came_over_plain_http_from_elsewhere_copies_is_a_selection(stack, page):
    page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined});"
             "document.addEventListener('copy', (event) => { window.copied = event.target.value; })")
    answers(stack, "*alpha*")
    say(page, "hello")
    ended(page, "alpha")
    page.run("document.querySelector('.answered .copy').focus()")
    page.press("Enter")
    page.wait("window.copied === '*alpha*' && document.querySelector('.answered .copy').innerText === 'Copied'")
    assert page.run("document.activeElement.className").endswith("copy")
    assert page.run("document.querySelectorAll('textarea').length") == 2, "what was selected is gone again"


def test_everything_is_reached_by_keyboard_in_the_order_in_which_it_is_seen(stack, page):
    page.run("document.body.focus(); document.querySelector('.skip').focus()")
    order = []
    while len(order) < len(REACHED):
        order.append(page.run("document.activeElement.id || document.activeElement.innerText"))
        page.press("Tab")
    assert order == REACHED
    page.run("document.getElementById('text').focus()")
    assert page.run("getComputedStyle(document.getElementById('form')).borderColor !== "
                    "getComputedStyle(document.getElementById('status')).borderColor"), "focus is seen"


def test_half_a_screen_is_enough_while_the_keyboard_of_a_phone_takes_the_other_half(stack, page):
    page.resize(PHONE_PX, PHONE_PX)
    answers(stack, SHOWN)
    say(page, "hello")
    ended(page, "Three ways")
    for field in ("text", "send", "model"):
        top, bottom = page.run(f"(({{top, bottom}}) => [top, bottom])(document.getElementById('{field}')"
                               ".getBoundingClientRect())")
        assert top >= 0 and bottom <= PHONE_PX, field
    assert not page.is_too_wide() and page.run(f"{SCROLL}.clientHeight") > 0


def test_finished_answers_are_read_out_and_pieces_are_not(stack, page):
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "one")]
    say(page, "hello")
    page.wait(f"{TALK}.includes('one')")
    assert page.run("document.getElementById('finished').textContent") == ""
    assert page.run("document.getElementById('talk').getAttribute('aria-live')") == "off"
    request = stack.gateway.wait_for(Submit).id
    stack.gateway.say(request, tokens(request, 1, " two"), done(request))
    page.wait("document.getElementById('finished').textContent === 'one two'")


def test_the_newest_is_followed_until_a_person_goes_up(stack, page):
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, LONG)]
    say(page, "hello")
    page.wait(f"{TALK}.includes('Paragraph 59') && {AT_END}")
    page.run(f"{SCROLL}.scrollTop = 100")
    page.wait("!document.getElementById('newest').hidden")
    request = stack.gateway.wait_for(Submit).id
    stack.gateway.say(request, tokens(request, 1, f"\n\n{LONG}\n\nlast"), done(request))
    ended(page, "last")
    assert page.run(f"{SCROLL}.scrollTop") == 100
    click(page, "#newest")
    page.wait(f"{AT_END} && document.getElementById('newest').hidden")


def test_what_is_selected_stays_selected_while_the_answer_grows(stack, page):
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "some words **and")]
    say(page, "hello")
    page.wait(f"{TALK}.includes('and')")
    page.run("getSelection().setBaseAndExtent(document.querySelector('.markdown p').firstChild, 5,"
             "document.querySelector('.markdown p').firstChild, 10)")
    request = stack.gateway.wait_for(Submit).id
    stack.gateway.say(request, tokens(request, 1, " more** of them\n\n- a\n- b"), done(request))
    ended(page, "b")
    assert page.run("getSelection().toString()") == "words"


@pytest.mark.parametrize(("name", "width_px", "dark"), [
    ("light", WIDE_PX, False), ("dark", WIDE_PX, True), ("phone", PHONE_PX, False), ("phone-dark", PHONE_PX, True)])
def test_how_it_looks(stack, page, name, width_px, dark):
    page.resize(width_px)
    page.prefer(dark=dark, still=True)
    page.screenshot(artefact(f"chat-{name}-empty.png"))
    answers(stack, SHOWN)
    say(page, "How do I merge two dictionaries in Python?")
    ended(page, "Three ways")
    stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), Progress(s.id, 2, "loading", 12.0, 0.4)]
    say(page, "And how do I sort a list of them by one key?")
    page.wait(f"{STATUS}.includes('40 %')")
    page.screenshot(artefact(f"chat-{name}.png"))
    assert not page.is_too_wide()
    assert page.run(f"{SCROLL}.scrollWidth <= {SCROLL}.clientWidth")
    page.run("document.getElementById('settings').open = true")
    edges = page.run("(({left, right, top}) => [left, right, top])(document.querySelector('#settings .card')"
                     ".getBoundingClientRect())")
    assert edges[0] >= 0 and edges[1] <= width_px and edges[2] >= 0
    click(page, "#stop")
    page.wait(IDLE)
