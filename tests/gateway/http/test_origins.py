"""Patterns of origins: what each lets in, and that nothing else passes."""

import pytest

from gateway.http.origins import compile_origins


@pytest.mark.parametrize(("pattern", "let_in", "kept_out"), [
    ("https://notes.example", ["https://notes.example"],
     ["http://notes.example", "https://notes.example:8443", "https://a.notes.example", "https://notesxexample",
      "https://notes.example.evil", "https://notes.example\n"]),
    ("http://localhost:*", ["http://localhost", "http://localhost:3000"],
     ["https://localhost:3000", "http://localhost.evil:1", "http://localhost:", "http://localhost:x",
      "http://localhost:1/x", "http://localhost:1@evil.example"]),
    ("HTTP://Localhost:3000", ["http://localhost:3000"], ["http://localhost"]),
    ("app://*", ["app://obsidian.md", "app://"], ["http://obsidian.md", "app://a/b", "xapp://a", "app:obsidian"]),
    ("chrome-extension://*", ["chrome-extension://abcd"], ["chrome-extension://a@b", "moz-extension://abcd"]),
    ("https://*.example.com", ["https://a.example.com", "https://a.b.example.com"],
     ["https://example.com", "https://.example.com", "https://aexample.com", "https://a.example.com.evil",
      "https://evil/.example.com", "https://a.example.com:8443"]),
    ("http://[::1]:*", ["http://[::1]:80"], ["http://[::2]:80"]),
])
def test_a_pattern(pattern, let_in, kept_out):
    found = compile_origins(["vscode-webview://x", pattern])
    assert [origin for origin in [*let_in, *kept_out] if found.fullmatch(origin)] == let_in


@pytest.mark.parametrize("origin", ["", "null", "http://localhost"])
def test_no_pattern_lets_nothing_in(origin):
    assert not compile_origins([]).fullmatch(origin)
