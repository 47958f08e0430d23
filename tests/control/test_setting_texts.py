"""Texts that a setting refuses, each with the half sentence that says why; and no password in any message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.setting_rules import check
from control.setting_texts import (
    URL,
    refuse_backend,
    refuse_header_name,
    refuse_host_name,
    refuse_keep_alive,
    refuse_model_name,
    refuse_no_address,
    refuse_ollama_url,
    refuse_origin,
    refuse_own_keep_alive,
    refuse_pull_pattern,
    refuse_url,
)
from control.settings import Relays, settings_of
from control.states import BACKENDS

NO_URL = "is no address such as http://127.0.0.1:11434"


@pytest.mark.parametrize("url", [
    "", "http://127.0.0.1:11434", "http://localhost:11434/", "https://gpu.local/ollama", "http://10.0.0.2", "http://a",
    "http://[::1]:11434", "http://[fe80::1]/api", "http://my_host:1", "http://h:65535/v1/x-y.z~/", "http://H.Example"])
def test_addresses_of_servers(url):
    assert refuse_url(url) == ""


@pytest.mark.parametrize("url", [
    "127.0.0.1:11434", "localhost", "ftp://h", "unix:///tmp/x", "file:///etc/passwd", "HTTP://h", "http://",
    "http:///x", "http://:80", "http://h:", "http://h:0", "http://h:65536", "http://h:999999", "http://h:x",
    "http://h:1:2", "http://-h", "http://h-", "http://.", "http://[::g]", "http://[1.2.3.4", "http://[]:1",
    "http://::1", "http://h?x=1", "http://h#x", "http://h/?x", "http://h/a b", " http://h", "http://h ", "http://h\n",
    "http://h\nX: y", "http://h/é", "http://é", "http://h/%0d", "javascript:alert(1)", "http://h\\x",
    "http://h/${x}", "http://h/;x", f"http://{'a' * 254}"])
def test_what_is_no_address_of_a_server(url):
    assert refuse_url(url) == NO_URL


@pytest.mark.parametrize(("path", "told"), [
    ("/v1", "/v1"), ("/api", "/api"), ("/v1/", "/v1/"), ("/ollama/api", "/api"), ("/api/chat", "/api/chat"),
    ("/v1/chat/completions", "/v1/chat/completions"), ("/api/tags", "/api/tags")])
def test_the_path_of_an_api_is_no_part_of_the_address(path, told):
    assert refuse_ollama_url(f"http://127.0.0.1:11434{path}") == (
        f"ends with the path of an API; write the address without {told}")


@pytest.mark.parametrize("url", ["", "http://h:1", "http://h/", "http://h/ollama", "http://h/api/ollama", "http://api",
                                 "http://h/myapi", "http://v1/x"])
def test_what_only_resembles_it_is(url):
    assert refuse_ollama_url(url) == ""
    assert refuse_ollama_url("h:1") == NO_URL


@pytest.mark.parametrize("url", ["http://user:hunter2@h", "http://hunter2@h:1/x", "https://a:hunter2@[::1]/"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url):
    for key in ("ollama_url", "victoria_url"):
        with pytest.raises(ValueError, match="holds a user or a password; write the key into a file") as refused:
            check(settings_of(Relays)[key], url)
        assert "hunter2" not in str(refused.value)


@given(st.text(max_size=40) | st.text("htps:/@[].019a-_", max_size=25).map("http://{}".format))
def test_what_is_accepted_is_a_host_and_a_port_and_nothing_that_ends_a_line(text):
    if refuse_url(text) == "" and text:
        parts = URL.fullmatch(text)
        assert parts["host"] or parts["v6"]
        assert text.isascii() and text.isprintable() and not set(text) & set(" @?#\\%")


@pytest.mark.parametrize(("refuse", "good", "bad", "why"), [
    (refuse_no_address, ["127.0.0.1", "::1", "0.0.0.0", "localhost"], ["", "example.org", "[::1]", "1.2.3"],
     "is not an address such as"),
    (refuse_keep_alive, ["0", "-1", "5m", "1h30m"], ["", "five", "5 m"], "is no time"),
    (refuse_own_keep_alive, ["", "0", "5m"], ["five"], "is no time"),
    (refuse_host_name, ["mac.local", "a_b"], ["", "*", "a:80", "http://a", "a/b"], "is not a bare host name"),
    (refuse_origin, ["https://notes.example", "http://localhost:3000", "http://localhost:*", "app://*", "file://*",
                     "app://obsidian.md", "https://*.example.com:8443", "http://[::1]:*", "vscode-webview://*"],
     ["", "notes.example", "https://notes.example/", "http://a b", "http://192.168.1.*", "http://a.*.b", "http://a*",
      "null", "chrome-extension:*", "*://a", "http://a:x", "http://u@a", "app://**", "http://", "http://a\n"],
     "is no origin"),
    (refuse_origin, [], ["*", "http://*", "HTTPS://*", "http://*:*", "https://*:443"], "would let every website use"),
    (refuse_pull_pattern, ["*", "mlx-community", "org/tiny", "org/phi-*", "org/*", "My.Org/a_b"],
     ["", "**", "*/tiny", "a/b/c", "org/", "/models", "a b", "org/[ab]", "org\n", "é"], "is neither an organisation"),
    (refuse_header_name, ["", "X-OpenWebUI-User-Id", "x-user"], ["X User", "X-User:", "é", "x\r\ny", "a" * 65],
     "is no name of a header"),
    (refuse_header_name, [], ["Authorization", "cookie", "X-API-Key", "Proxy-Authorization"], "holds a key"),
    (refuse_model_name, ["", "phi3.5:3.8b", "hf.co/a/b:Q4_K_M"], ["phi 3", " a", "a\n", "a\tb", "a\u00a0b", "\x1b"],
     "cannot be the name of a model"),
    (refuse_backend, BACKENDS, ["", "MLX", "openai", "mlx "], "is no backend; the backends are mlx, agents, ollama"),
])
def test_each_kind_of_text(refuse, good, bad, why):
    assert {refuse(text) for text in good} <= {""}
    assert [text for text in bad if not refuse(text).startswith(why)] == []
