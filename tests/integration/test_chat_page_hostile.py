"""The chat page in a real browser with texts and names that want to be markup, script or something else than they are.

Whatever a model says and is called: only the elements of markdown are made, nothing runs, nothing is asked of another
server, and links lead where they may and say so.
"""

from collections.abc import Iterator

import pytest

from gateway.protocol import Note, Started, Submit
from tests.support.browser import PHONE_PX, Browser, needs_browser
from tests.support.chat_page import IDLE, browser_of, open_again, opened, say, stack_of
from tests.support.fake_gateway import accepted, done, error, model_info, tokens
from tests.support.http_stack import TOML, HttpStack

pytestmark = [pytest.mark.integration, needs_browser]
ELEMENTS = set("a article blockquote br button code del details div em h1 h2 h3 h4 h5 h6 hr li ol p pre section span "
               "strong summary table tbody td th thead tr ul".split())
ATTRIBUTES = {"aria-label", "class", "dir", "disabled", "hidden", "href", "rel", "role", "start", "tabindex", "target",
              "title", "type", "open"}
IN_TALK = "[...document.querySelectorAll('#talk *')]"
LINKS = f"{IN_TALK}.filter((e) => e.href).map((e) => [e.href, e.rel, e.target])"
PIECE_CHARS = 7
MARKUP = """<script>window.pwned = 1</script> <img src=x onerror="window.pwned = 2"> <svg onload=pwned=3>
</textarea></select></div><iframe src="javascript:parent.pwned=4"></iframe><style>* { display: none }</style>
<a href="javascript:pwned=5" onclick="pwned=6">click</a> <form action="https://evil.org"><input></form>
<!-- <b>not bold</b> --> &lt;script&gt;pwned = 7&lt;/script&gt; <![CDATA[ <script>pwned=8</script> ]]>
<base href="https://evil.org/"><meta http-equiv=refresh content="0;url=https://evil.org"><link rel=stylesheet href=x>"""
LINKED = """[a](javascript:pwned=1) [b](JaVaScRiPt:pwned=1) [c](java
script:pwned=1) [d](java\tscript:pwned=1) [e](\x01javascript:pwned=1) [f](&#106;avascript:pwned=1) [g](data:text/html,x)
[h](vbscript:x) [i]( javascript:pwned=1) [j](<javascript:pwned=1>) <javascript:pwned=1> [k](//evil.org) [l](/api/delete)
![m](https://evil.org/track.png) ![n](data:image/svg+xml;base64,PHN2Zz4=) [o](https://a.org" onclick="pwned=1)
[p](https://a.org "t\\" onmouseover=\\"pwned=1") [q](https://a.org/'onclick='pwned=1)
[https://bank.de](https://evil.org) https://bank.de@evil.org/ [r](blob:https://a.org/x) [s](file:///etc/passwd)"""
SEEN = "a\u202ecod.exe \u2066x\u2069 \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J nul\x00 bell\x07"
FENCED = f"```html\n{MARKUP}\n```\n\n```<img/src=x/onerror=pwned=1>\n{SEEN}\n"
TABLE = f"| {'<b>x</b> |' * 3}\n|{'---|' * 3}\n| <script>pwned=1</script> | [a](javascript:pwned=1) | ` | `\n"
LONG = f"{'w' * 3000} {'`' + 'c' * 3000 + '`'} https://a.org/{'u' * 1500}\n\n# {'h' * 500}\n\n- {'l' * 2000}\n\n{TABLE}"
NAME = "tiny</option><script>pwned=1</script>\u202e\x1b[31m" + "n" * 120


running_stack = stack_of(TOML + '[relays]\nvictoria_url = "http://127.0.0.1:9"\n')
browser = browser_of(PHONE_PX)


@pytest.fixture
def page(running_stack, browser) -> Iterator[Browser]:
    """Without what an earlier test left; nothing may have gone wrong in it, nor anything run."""
    running_stack.reset()
    for page in opened(browser, running_stack):
        page.wait("!document.getElementById('switch').hidden")
        page.run("document.getElementById('victoria').checked = false")
        yield page
    assert browser.run("window.pwned") is None
    assert [each for each in browser.requests if not each.startswith(running_stack.url)] == []


def answer(stack: HttpStack, page: Browser, text: str, question: str = "hello") -> str:
    """Streams `text` in small pieces, and gives what is seen of it in the end."""
    pieces = [text[index:index + PIECE_CHARS] for index in range(0, len(text), PIECE_CHARS)]
    stack.gateway.on[Submit] = lambda s: [
        accepted(s.id, 1), *(tokens(s.id, n, piece) for n, piece in enumerate(pieces)), done(s.id, len(pieces))]
    say(page, question)
    page.wait(f"{IDLE} && document.querySelector('.acts.answered:not([hidden])') !== null")
    return page.run("document.querySelector('.markdown').innerText")


def check(page: Browser) -> None:
    """The elements and attributes of the conversation, and where its links lead."""
    assert set(page.run(f"{IN_TALK}.map((e) => e.localName)")) <= ELEMENTS
    assert set(page.run(f"{IN_TALK}.flatMap((e) => e.getAttributeNames())")) <= ATTRIBUTES
    for href, rel, target in page.run(LINKS):
        assert href.startswith(("https://", "http://", "mailto:")), href
        assert (rel, target) == ("noopener noreferrer", "_blank")
    assert not page.is_too_wide()
    assert page.run("document.getElementById('scroll').scrollWidth <= document.getElementById('scroll').clientWidth")


@pytest.mark.parametrize("text", [MARKUP, LINKED, SEEN, FENCED, LONG, TABLE], ids="markup linked seen fenced long table"
                         .split())
def test_hostile_text_stays_text_while_it_comes_and_when_it_is_read_again(running_stack, page, text):
    answer(running_stack, page, text, question=f"{text[:300]}</textarea><script>pwned=9</script>")
    check(page)
    before = page.run("document.querySelector('.markdown').innerHTML")
    open_again(page, running_stack)
    check(page)
    assert page.run("document.querySelector('.markdown').innerHTML") == before, "in pieces as in one"


def test_markup_is_shown_as_it_was_written(running_stack, page):
    shown = answer(running_stack, page, MARKUP)
    for part in ("<script>window.pwned = 1</script>", "</textarea></select></div><iframe", "<!-- <b>not bold</b> -->",
                 "<script>pwned = 7</script>", "<base href="):
        assert part in shown
    assert page.run(LINKS) == [["https://evil.org/", "noopener noreferrer", "_blank"]] * page.run(f"{LINKS}.length")


def test_only_written_out_addresses_are_links_and_those_that_lie_say_where_they_lead(running_stack, page):
    shown = answer(running_stack, page, LINKED)
    hosts = page.run(f"{IN_TALK}.filter((e) => e.href).map((e) => new URL(e.href).host)")
    assert set(hosts) == {"a.org", "evil.org"}
    assert "https://bank.de (evil.org)" in shown and "https://bank.de@evil.org/ (evil.org)" in shown
    assert "[g](data:text/html,x)" in shown and page.run("document.querySelectorAll('#talk img').length") == 0


def test_characters_that_act_are_signs_of_themselves(running_stack, page):
    shown = answer(running_stack, page, SEEN)
    assert "a\u27e8U+202E\u27e9cod.exe" in shown and "\u241b[31mred" in shown and "nul\u2400" in shown
    assert not set(shown) & set("\u202e\u2066\x1b\x07\x9b\x00")


def test_names_reasons_steps_and_errors_are_text(running_stack, page):
    gateway, evil = running_stack.gateway, "<img src=x onerror=pwned=1>\u202e"
    gateway.models = [model_info(NAME)]
    page.run("document.getElementById('model').dispatchEvent(new Event('focus'))")
    page.wait("document.getElementById('model').options[0].text.includes('script')")
    assert page.run("document.getElementById('model').children.length") == 1 and not page.is_too_wide()
    assert "\u202e" not in page.run("document.getElementById('model').options[0].text")
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), Started(s.id, evil, evil, evil, 1, 0.0, 0.0),
                                    tokens(s.id, 0, "yes"), done(s.id, 1, route=evil)]
    say(page, "hello")
    page.wait(f"{IDLE} && document.getElementById('talk').innerText.includes('yes')")
    check(page)
    assert "<img src=x" in page.run("document.querySelector('.facts').innerText")
    gateway.on[Submit] = lambda s: [error(s.id, "queue_full", evil)]
    say(page, "hello")
    page.wait(f"{IDLE} && document.querySelector('.notice') !== null")
    check(page)
    page.run("document.getElementById('victoria').checked = true")
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), Started(s.id, evil, "victoria", "", 1, 0.0, 0.0),
                                    Note(s.id, "start", ""), Note(s.id, "step", f"{evil} looks"),
                                    tokens(s.id, 0, evil), error(s.id, "upstream_failed", evil)]
    say(page, "hello")
    page.wait(f"{IDLE} && document.querySelectorAll('.turn').length === 2")
    check(page)
