"""The pages as files: how they are sent, and what may stand in them."""

import re

import pytest

from gateway.http.pages import FILES, FOLDER, MEDIA, is_known, read_files

PAGES = sorted(name for name in FILES if name.endswith(".html"))
MAKES_MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc",
                "DOMParser", "createContextualFragment")
ELSEWHERE = re.compile(r"""(?:src|href|action|import|from|url\(|fetch\(|@import)\s*[=(]?\s*["']?\s*(?:https?:)?//""")
INLINE = re.compile(r"<(?:script|style)(?![^>]*\bsrc=)[^>]*>|\s(?:on\w+|style)\s*=")


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_as_what_it_is(http, name):
    response = http.get(f"/pages/{name}")
    assert response.status_code == 200 and response.content == (FOLDER / name).read_bytes()
    assert response.headers["content-type"] == MEDIA[f".{name.rpartition('.')[2]}"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_page_may_run_files_of_this_server_only_and_talk_to_nobody_else(http):
    for path in ("/chat", "/pages/dashboard.html", "/pages/page.js"):
        response = http.get(path)
        policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
        assert policy.pop("img-src") == "'self' data:"
        assert {name: policy.pop(name) for name in ("script-src", "style-src", "connect-src")} == dict.fromkeys(
            ("script-src", "style-src", "connect-src"), "'self'")
        assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
        assert set(policy.values()) == {"'none'"}
        assert response.headers["referrer-policy"] == "no-referrer"


def test_browsers_keep_a_file_and_ask_whether_it_is_the_same(http):
    first = http.get("/pages/page.css")
    assert first.headers["cache-control"] == "no-cache"
    again = http.get("/pages/page.css", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == first.headers["etag"]
    assert http.get("/pages/page.js", headers={"if-none-match": first.headers["etag"]}).status_code == 200
    assert http.get("/livez").status_code == 200, "the connection is still of use"


@pytest.mark.parametrize(("header", "known"), [
    ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)])
def test_which_tags_are_the_same(header, known):
    assert is_known('"a"', header) is known


@pytest.mark.parametrize("name", ["", "nothing.js", "..%2fapp.py", "%2e%2e/app.py", "chat", "../pages.py",
                                  "page.js%00"])
def test_nothing_else_is_served(http, name):
    response = http.get(f"/pages/{name}")
    assert response.status_code == 404 and set(response.json()) == {"error"}


def test_only_files_of_pages_are_read(tmp_path):
    for name in ("a.html", "b.js", "c.py", "d.css~", ".e"):
        (tmp_path / name).write_text(name)
    assert list(read_files(tmp_path)) == ["a.html", "b.js"]


# -- what stands in them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_no_text_becomes_markup_and_nothing_comes_from_elsewhere(name):
    text = FILES[name].body.decode()
    assert not [word for word in MAKES_MARKUP if word in text and f"|{word}|" not in text], "text nodes only"
    assert not ELSEWHERE.search(text)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_nothing_inline_that_its_policy_would_refuse(name):
    text = FILES[name].body.decode()
    assert not INLINE.search(text)
    assert text.startswith("<!doctype html>") and 'lang="en"' in text and "<noscript>" in text
    needed = re.findall(r'(?:src|href)="pages/([^"]+)"', text)
    assert needed and set(needed) <= set(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".html")])
def test_a_script_or_style_says_first_what_it_is_for(name):
    assert FILES[name].body.startswith(b"/* ")


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_a_script_imports_what_is_there(name):
    text = FILES[name].body.decode()
    for names, source in re.findall(r"^import \{([^}]+)\} from \"([^\"]+)\"", text, re.MULTILINE):
        assert source.startswith("./"), "nothing from elsewhere"
        offered = FILES[source.removeprefix("./")].body.decode()
        for wanted in map(str.strip, names.split(",")):
            assert re.search(rf"^export (async )?(function\*? |const |class |let ){wanted}\b", offered, re.MULTILINE)
            assert len(re.findall(rf"\b{wanted}\b", text)) > 1, f"{name} does not use {wanted}"
