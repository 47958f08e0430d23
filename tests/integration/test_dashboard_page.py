"""The dashboard in a real browser, looking at a real stack: what happens there is seen without a reload.

Screenshots of it are kept as artefacts (`tests/support/artefacts.py`); `dashboard.png` is the picture of the README,
taken while real models answer. `make test-long` takes it again after LONG_S of work, as the committed one was.
"""

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from msgspec import Raw

from gateway.protocol import CallerInfo, Result, WhoAmI, encode
from tests.support.artefacts import artefact
from tests.support.browser import PHONE_PX, Browser, needs_browser
from tests.support.fake_gateway import error
from tests.support.http_stack import TOML, HttpStack
from tests.support.lan import lan_address
from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.stack_fixtures import shared_stack

pytestmark = [pytest.mark.integration, needs_browser]
WIDTH_PX, HEIGHT_PX = 1200, 930
SHORT_S, LONG_S = 1.5, 100.0
LOADED_WITHIN_S = 60.0
FEW = [("guide", "high", 60)] * 3 + [("random-1m", "low", 40)] * 4
MANY = [("guide", "high", 80)] * 3 + [("random-26m", "medium", 30)] * 4 + [("random-1m", "low", 90)] * 5
SETTINGS = f"""
[control]
prewarm = 0
[limits]
rate_limit_max = 0
max_running = 6
[memory]
memory_budget_gb = 1.2
[models.guide]
path = "guide"
context_length = 2048
batch_size = 4
[models.random-26m]
path = "{model_path("26m")}"
context_length = 1024
batch_size = 2
[models.random-1m]
path = "{model_path("1m")}"
context_length = 1024
batch_size = 4
[models.echo]
engine = "echo"
[models.spare]
engine = "echo"
"""
LIVE = "document.getElementById('live').textContent === 'live' && !document.body.classList.contains('stale')"
REMARKS = "document.getElementById('remarks').innerText"
JOURNAL = "document.getElementById('journal').innerText"
BACK = "getComputedStyle(document.body).backgroundColor"
PLACES = "document.querySelectorAll('.places:not(.bar) .high, .places .medium, .places .low').length"
TITLES = "[...document.querySelectorAll('#budget .part')].map((part) => part.title).join('; ')"
HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\u202eevil\u0007"

stack = shared_stack(SETTINGS)


@pytest.fixture(scope="module")
def browser(stack, tmp_path_factory) -> Iterator[Browser]:
    with Browser(stack.url, tmp_path_factory.mktemp("b"), WIDTH_PX, height_px=HEIGHT_PX) as browser:
        yield browser


@pytest.fixture
def page(browser, stack) -> Iterator[Browser]:
    """As a person has it before them; after the test nothing is red in its console, and it asked nobody else."""
    browser.resize(WIDTH_PX, HEIGHT_PX)
    browser.prefer(dark=False)
    browser.wait(LIVE)
    yield browser
    assert not browser.errors
    assert {address for address in browser.requests if not address.startswith(f"{stack.url}/")} == set()


def state_of(model: str) -> str:
    """A script: the word that the table has for it."""
    return f"document.querySelector('tr[data-model=\"{model}\"] .c-state').innerText"


def cell(model: str, column: str) -> str:
    return f"document.querySelector('tr[data-model=\"{model}\"] .c-{column}').innerText"


def ask(stack: LiveStack, model: str, priority: str, tokens: int) -> None:
    stack.post("/api/generate", {"model": model, "prompt": "How do I add a real model, and what does it need?",
                                 "stream": False, "options": {"num_predict": tokens}}, X_Request_Priority=priority)


@contextmanager
def work(stack: LiveStack, callers: list[tuple[str, str, int]]) -> Iterator[None]:
    """Callers who ask again and again meanwhile: model, class, tokens of an answer."""
    over = threading.Event()

    def ask_on(model: str, priority: str, tokens: int) -> None:
        while not over.is_set():
            ask(stack, model, priority, tokens)

    with ThreadPoolExecutor(len(callers)) as pool:
        for caller in callers:
            pool.submit(ask_on, *caller)
        try:
            yield
        finally:
            over.set()


def take_picture(page: Browser, stack: LiveStack, callers: list[tuple[str, str, int]], seconds: float) -> None:
    """Of the page while they all are being answered, and some of them wait; `seconds` later than that."""
    words = stack.control_words()
    stack.press(1 - words.available_bytes / words.total_bytes)  # as it is here, so that the numbers fit each other
    with work(stack, callers):
        for model in {model for model, _, _ in callers}:
            page.wait(f"{state_of(model)} === 'answering' && parseFloat({cell(model, 'tokens')}) > 0", LOADED_WITHIN_S)
        page.run("window.begun = performance.now()")
        page.wait(f"performance.now() > window.begun + {seconds * 1000} && {PLACES} > 2", LOADED_WITHIN_S + seconds)
        page.screenshot(artefact("dashboard.png"))
        page.prefer(dark=True)
        page.screenshot(artefact("dashboard-dark.png"))


# -- what happens is seen ------------------------------------------------------------------------------------------


def test_a_model_is_loaded_evicted_and_loaded_again_while_one_looks(page, stack):
    assert page.run(state_of("echo")) == "not loaded"
    stack.load("echo")
    page.wait(f"{state_of('echo')} === 'ready' && {TITLES}.includes('echo: ')")
    assert "MiB" in page.run(cell("echo", "memory")) and page.run(cell("echo", "until")).endswith("min")
    page.wait(f"{JOURNAL}.includes('echo was loaded')")
    stack.evict("echo")
    page.wait(f"{state_of('echo')} === 'not loaded' && !{TITLES}.includes('echo: ')")
    page.wait(f"{JOURNAL}.includes('eviction')")
    stack.load("echo")
    page.wait(f"{state_of('echo')} === 'ready'")
    assert page.requests.count(f"{stack.url}/dashboard/events") == 1, "one stream, no reload"


def test_work_is_seen_and_makes_the_picture_of_the_readme(page, stack):
    take_picture(page, stack, FEW, SHORT_S)
    assert "guide: " in page.run(TITLES) and "random-1m: " in page.run(TITLES)
    page.wait("document.getElementById('counters').innerText.includes('answered')")
    line = "document.querySelector('#tiles .line').getAttribute('d').length"
    assert page.run(line) > 100, "what was is drawn"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_picture_after_some_minutes(page, stack):
    stack.load("spare")
    take_picture(page, stack, MANY, LONG_S)


def test_decisions_of_one_kind_or_model(page, stack):
    page.wait(f"{JOURNAL}.includes('guide was loaded') && {JOURNAL}.includes('echo was loaded')")
    page.run("kind.value = 'load'; kind.dispatchEvent(new Event('change'))")
    kinds = "[...new Set([...document.querySelectorAll('#journal .chip')].map((chip) => chip.innerText))].join()"
    assert page.run(kinds) == "load"
    page.run("about.value = 'guide'; about.dispatchEvent(new Event('change'))")
    assert "echo" not in page.run(JOURNAL) and "guide was loaded" in page.run(JOURNAL)
    page.run("kind.value = about.value = ''; kind.dispatchEvent(new Event('change'))")
    assert "echo" in page.run(JOURNAL)


# -- what breaks is said -------------------------------------------------------------------------------------------


def test_a_gateway_that_is_silent_and_then_dies_is_named_until_there_is_another(page, stack):
    stack.kill("gateway", signal.SIGSTOP)
    page.wait(f"{REMARKS}.includes('the gateway is silent')")
    assert "the gateway is silent" in page.run("document.getElementById('said').textContent"), "it is read out"
    assert page.run("document.getElementById('counters').innerText").startswith("not known")
    page.screenshot(artefact("dashboard-gateway-silent.png"))
    stack.kill("gateway")
    page.wait(f"!{REMARKS} && {JOURNAL}.includes('the gateway has started')")


def test_a_server_that_dies_leaves_the_last_reading_and_comes_back(page, stack):
    shown = page.run("document.querySelector('#models tbody').innerText")
    stack.kill("http")
    page.wait("document.body.classList.contains('stale')")
    assert page.run("document.querySelector('#models tbody').innerText").split()[0] == shown.split()[0]
    page.wait(LIVE)
    page.wait(f"!{REMARKS}")


def test_hostile_texts_are_texts(page, stack):
    line = {"timestamp": datetime.now(UTC).isoformat(), "event": "held", "model": HOSTILE, "reason": HOSTILE}
    with open(stack.paths.logs / "control.log", "a") as log:
        log.write(json.dumps(line) + "\n")
    page.wait(f"{JOURNAL}.includes('onerror')")
    assert "⟨U+202E⟩evil⟨U+0007⟩" in page.run(JOURNAL), "what would turn or ring is a number"
    assert page.run("document.title").endswith("mlx-warden")
    assert page.run("document.querySelectorAll('main img, main script').length") == 0
    assert page.run("[...document.getElementById('about').options].some((one) => one.text.includes('<img'))")
    page.resize(PHONE_PX)
    assert not page.is_too_wide()


# -- how it is looked at -------------------------------------------------------------------------------------------


def test_dark_is_dark_and_a_phone_needs_no_sideways_scrolling(page):
    light = page.run(BACK)
    page.screenshot(artefact("dashboard-whole.png"), whole=True)
    page.prefer(dark=True)
    assert page.run(BACK) != light
    page.resize(PHONE_PX)
    page.wait("getComputedStyle(document.querySelector('#models thead')).display === 'none'")
    assert not page.is_too_wide()
    page.screenshot(artefact("dashboard-phone-dark.png"), whole=True)
    page.prefer(dark=False)
    page.screenshot(artefact("dashboard-phone.png"), whole=True)


def test_the_keyboard_reaches_all_that_acts_and_shows_where_it_is(page):
    page.run("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    wanted = {"Skip to the models", "Skip to the decisions", "Dashboard", "Chat", "span", "kind", "about", "journal"}
    seen = set()
    for _ in range(len(wanted) + 3):
        page.press("Tab")
        seen.add(page.run("((one) => one.id || one.name || one.innerText)(document.activeElement)"))
        assert page.run("""((one) => getComputedStyle(one.name === 'span' ? one.nextElementSibling : one)
            .outlineStyle)(document.activeElement)""") != "none" or not page.run("document.activeElement.id")
    assert wanted <= seen
    page.run("document.querySelector('.skip').focus()")
    page.press("Enter")
    page.wait("document.activeElement.id === 'models-title'")


def test_charts_show_five_minutes_or_the_hour(page):
    page.run("document.querySelector('#span input[value=\"300\"]').click()")
    page.wait("document.querySelector('#tiles .line').getAttribute('d')")
    page.run("document.querySelector('#span input[value=\"3600\"]').click()")
    words = page.run("document.querySelector('#tiles svg').getAttribute('aria-label')")
    assert words.startswith("Tokens per second: ") and "peak" in words


def test_from_another_machine_it_asks_for_a_key(browser, tmp_path):
    """The last one: it leaves the stack."""
    if not lan_address():
        pytest.skip("this machine has no address but those of the loopback")
    with HttpStack(tmp_path, TOML.replace("[server]", '[server]\nhost = "0.0.0.0"')) as face:
        who = encode(CallerInfo("ann", "person", "high", [], 0, 60.0, 0))
        face.gateway.on[WhoAmI] = lambda asked: [Result(asked.id, Raw(who)) if asked.key == "warden-ann" else error(
            asked.id, "unauthorized")]
        browser.go(f"http://{lan_address()}:{face.port}/")
        browser.wait("!document.getElementById('key').hidden && document.activeElement.id === 'key'")
        assert browser.run(REMARKS) == "Enter an API key"
        for given, seen in (("warden-bob", f"{REMARKS}.includes('not known here')"), ("warden-ann", LIVE)):
            browser.run("document.getElementById('key').select()")
            browser.type(given)
            browser.press("Enter")
            browser.wait(seen)
        browser.go(f"http://{lan_address()}:{face.port}/")
        browser.wait(LIVE)  # it is remembered as long as the tab
        assert browser.run("document.querySelector('#models.old #models-sum').textContent") == "not known now"
    assert not browser.errors
