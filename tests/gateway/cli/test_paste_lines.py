"""What people paste: shell and Python that parse, files that their formats read, the same in the README.

tests/integration/test_first_run.py runs those that can be run.
"""

import ast
import json
import subprocess

import pytest
import yaml

from gateway.cli.paste_lines import (
    BEGIN,
    CLIENTS,
    END,
    KEY_IN_FILES,
    NO_KEY,
    Place,
    find_client,
    readme_section,
    short_block,
)
from tests.support import readme

PLACES = {
    "plain": Place(), "key": Place("0.0.0.0", 12000, "a/b:c", needs_key=True, is_mac=False), "v6": Place("::1", 1, "m"),
}


@pytest.fixture(params=PLACES)
def place(request) -> Place:
    return PLACES[request.param]


def test_an_address_is_one_that_this_machine_reaches():
    assert [place.url for place in PLACES.values()] == [
        "http://127.0.0.1:11435", "http://127.0.0.1:12000", "http://[::1]:1"]
    assert Place("::").url == "http://[::1]:11435"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_text_is_what_its_language_reads(client, place):
    text = client.write(place)
    assert place.url in text or f"host.docker.internal:{place.port}" in text
    match client.language:
        case "sh":
            subprocess.run(["sh", "-n", "-c", text], check=True)
        case "python":
            ast.parse(text)
        case "json":
            assert isinstance(json.loads(text), dict)
        case "yaml":
            assert yaml.safe_load(text)["models"][0]["apiBase"] == place.url
        case "text":
            assert text == place.url
    assert max(map(len, text.splitlines())) <= 100 and client.title and client.tried
    has_key = any(mark in text for mark in ("WARDEN_KEY", KEY_IN_FILES))
    assert has_key == place.needs_key or client.name in ("ollama", "zed", "home-assistant")
    assert NO_KEY not in text or not place.needs_key


def test_names_are_found_in_any_case_and_given_once():
    assert find_client("Claude-Code").title == "Claude Code" and find_client("x") is None
    assert len({client.name for client in CLIENTS}) == len(CLIENTS)


def test_what_up_prints_can_be_pasted(place):
    text = "\n".join(short_block(place))
    for name in ("curl", "open-webui", "Claude Code", "Continue"):
        assert name in text
    items = text.partition("config.yaml:\n")[2]
    assert yaml.safe_load(f"models:\n{items}")["models"][0]["model"] == place.model


def test_the_readme_says_the_same():
    text = readme.text_of("README.md")
    if BEGIN not in text:
        pytest.skip("the README has no section between these markers yet")
    assert readme_section() == text[text.index(BEGIN):text.index(END) + len(END)]
