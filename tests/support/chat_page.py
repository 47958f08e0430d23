"""The chat page in a browser in front of a fake gateway: opening it as new, saying something, waiting for the answer.

A module makes its fixtures of `stack_of` and `browser_of`, and of `stack_with_two_models` and `wide_page`, or a `page`
of its own out of `opened`.
"""

import json
from collections.abc import Callable, Iterator

import pytest

from gateway.protocol import Started, Submit
from tests.support.browser import Browser
from tests.support.fake_gateway import accepted, done, model_info, tokens
from tests.support.http_stack import TOML, HttpStack

WIDE_PX = 1000
TALK = "document.getElementById('talk').innerText"
STATUS = "document.getElementById('status').innerText"
TEXT = "document.getElementById('text').value"
IDLE = "document.getElementById('stop').disabled"
ANSWER = "[...document.querySelectorAll('.markdown')].at(-1).innerText"
OPTIONS = "[...document.getElementById('model').options].map((each) => each.text)"


def stack_of(text: str = TOML) -> Callable[..., Iterator[HttpStack]]:
    """A fixture: the face with this configuration, for all tests of the module."""
    @pytest.fixture(scope="module")
    def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpStack]:
        with HttpStack(tmp_path_factory.mktemp("h"), text) as stack:
            yield stack

    return made


def browser_of(width_px: int) -> Callable[..., Iterator[Browser]]:
    """A fixture: one browser for all tests of the module, on the page of its `running_stack`."""
    @pytest.fixture(scope="module")
    def made(running_stack: HttpStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
        with Browser(f"{running_stack.url}/chat", tmp_path_factory.mktemp("b"), width_px=width_px) as page:
            yield page

    return made


def stack_with_two_models() -> Callable[..., HttpStack]:
    """A fixture: the module's `running_stack` as new, with a model that is loaded and one that is not."""
    @pytest.fixture
    def made(running_stack: HttpStack) -> HttpStack:
        running_stack.reset()
        running_stack.gateway.models = [model_info("tiny"), model_info("other", state="empty")]
        return running_stack

    return made


def wide_page() -> Callable[..., Iterator[Browser]]:
    """A fixture: the module's `browser`, wide and in the light, on the page of its `stack` as new."""
    @pytest.fixture
    def made(stack: HttpStack, browser: Browser) -> Iterator[Browser]:
        browser.resize(WIDE_PX)
        browser.prefer()
        yield from opened(browser, stack)

    return made


def opened(browser: Browser, stack: HttpStack) -> Iterator[Browser]:
    """The page without what an earlier test left in it; nothing may have gone wrong in it by the end."""
    browser.set_offline(False)
    browser.run("document.getElementById('fresh').click(); localStorage.clear()")
    open_again(browser, stack)
    yield browser
    assert browser.errors == []


def open_again(page: Browser, stack: HttpStack) -> None:
    page.go(f"{stack.url}/chat")
    page.wait("document.getElementById('model').options.length > 0")


def say(page: Browser, words: str) -> None:
    page.run(f"{TEXT} = {json.dumps(words)}; document.getElementById('form').requestSubmit()")


def click(page: Browser, selector: str) -> None:
    """The last element of these."""
    page.run(f"[...document.querySelectorAll({json.dumps(selector)})].at(-1).click()")


def ended(page: Browser, text: str) -> None:
    """Until the answer is complete, with this in it."""
    page.wait(f"{IDLE} && {ANSWER}.includes({json.dumps(text)})")


def answers(stack: HttpStack, *texts: str) -> None:
    """What the next questions are answered with, each with one of these; the last one for ever."""
    left = list(texts)

    def answer(submit: Submit) -> list:
        text = left.pop(0) if len(left) > 1 else left[0]
        return [accepted(submit.id, 1), Started(submit.id, "tiny", "mlx", "", 1, 0.0, 0.0), tokens(submit.id, 0, text),
                done(submit.id, 1, route="mlx")]

    stack.gateway.on[Submit] = answer
