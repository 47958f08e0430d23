"""A running Ollama and Victoria are found by what they answer, and this product is not taken for Ollama."""

import json

import pytest

from gateway.cli import init_servers
from gateway.cli.init_servers import OLLAMA, ask_json, find_ollama, find_victoria, is_here, ollama_url
from tests.support.relay_fixtures import ollama, victoria
from tests.support.supervisor_home import free_port

__all__ = ["ollama", "victoria"]


@pytest.mark.parametrize(("host", "url"), [
    ("", OLLAMA), ("0.0.0.0", OLLAMA), ("localhost", "http://localhost:11434"), (":1234", "http://127.0.0.1:1234"),
    ("box:1234", "http://box:1234"), ("http://box", "http://box:80"), ("https://box/", "https://box:443"),
    ("[::1]:99", "http://[::1]:99"), ('"10.0.0.1"', "http://10.0.0.1:11434"), ("0.0.0.0:9", "http://127.0.0.1:9"),
    ("http://box:99999", OLLAMA), ("ftp://box", OLLAMA), ("a b", OLLAMA), ("http://u:p@box", "http://box:80"),
])
def test_ollama_host_is_read_as_ollama_reads_it(host, url):
    assert ollama_url(host) == url


def test_whether_an_address_is_this_machine():
    assert is_here("http://127.0.0.1:1") and is_here("http://[::1]:1") and is_here("http://localhost:1")
    assert not is_here("http://10.0.0.1:1") and not is_here("http://box:1")


def test_a_running_ollama_is_found_with_its_models(ollama, monkeypatch):
    monkeypatch.setattr(init_servers, "OLLAMA", f"http://127.0.0.1:{free_port()}")
    ollama.be(models=["qwen3:8b", "llava:7b"])
    found = find_ollama({"OLLAMA_HOST": ollama.url})
    assert found == (ollama.url, "0.9.9", ("llava:7b", "qwen3:8b"), True)
    assert ollama.asked() == [], "a sign of life loads nothing"
    monkeypatch.setattr(init_servers, "OLLAMA", ollama.url)
    assert find_ollama({"OLLAMA_HOST": f"127.0.0.1:{free_port()}"}).url == ollama.url, "the usual address is tried too"
    for nonsense in ({"probe": "hang"}, {"probe": "status"}, {"probe": "wrong_api"}, {"raw_sign": "[1, 2]"},
                     {"raw_sign": json.dumps({"version": "0.14.2", "warden": "0.7"})}):
        monkeypatch.setattr(init_servers, "ASK_MAX_S", 0.2)
        ollama.be(**nonsense)
        assert find_ollama({}) is None, nonsense


def test_victoria_is_found_and_an_mlx_warden_in_her_place_is_none(victoria, monkeypatch):
    monkeypatch.setattr(init_servers, "VICTORIA", victoria.url)
    assert find_victoria() == victoria.url
    victoria.be(raw_sign=json.dumps({"status": "healthy", "total_models": 1}))
    assert find_victoria() == ""
    victoria.down()
    assert find_victoria() == "" and ask_json(victoria.url, "/health") is None
