"""Looking at ports and at other servers, which a few lines play here."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from control.config import load_config
from control.home import Home
from gateway.cli.doctor_look_network import ask, look_at_ollama, look_at_port, look_at_victoria
from tests.support.supervisor_home import free_port

ECHO = '[models.a]\nengine = "echo"\n'
LONG_S = 30.0
OLLAMA = {"/api/version": {"version": "0.9.9"}, "/health": {"status": "ok"},
          "/api/tags": {"models": [{"name": "a:latest"}, {"name": "moondream:latest"}, 3]},
          "/api/ps": {"models": [{"name": "a:latest", "size": 5}]}}


@contextmanager
def server(answers: dict[str, object], status: int = 200) -> Iterator[str]:
    """Its URL. Answers these paths, and others with 404."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path, {})).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()


def config_of(tmp_path: Path, text: str):
    (tmp_path / "warden.toml").write_text(text + ECHO)
    return load_config({"HOME": str(tmp_path)}, tmp_path)


def test_what_an_ollama_holds_and_lacks(tmp_path: Path) -> None:
    with server(OLLAMA) as url:
        config = config_of(tmp_path, f'[relays]\nollama_url = "{url}"\n')
        fact = look_at_ollama(config, {"OLLAMA_KEEP_ALIVE": "-1"})
    assert (fact.configured, fact.status, fact.version, fact.models, fact.is_here) == (True, 200, "0.9.9", 2, True)
    assert (fact.loaded, fact.wanted, fact.keep_alive) == ((("a:latest", 5),), ("llava:7b",), "-1")


def test_another_warden_one_that_asks_for_a_key_and_a_stranger(tmp_path: Path) -> None:
    with server(OLLAMA | {"/api/version": {"version": "0.14.2", "warden": "0.1.0"}}) as url:
        fact = look_at_ollama(config_of(tmp_path, f'[relays]\nollama_url = "{url}"\n'), {})
        assert (fact.is_warden, fact.wanted) == (True, ())
    with server({"/api/version": {"error": "no"}}, status=401) as url:
        assert look_at_ollama(config_of(tmp_path, f'[relays]\nollama_url = "{url}"\n'), {}).status == 401
    with server({"/api/version": ["x"]}) as url:
        fact = look_at_ollama(config_of(tmp_path, f'[relays]\nollama_url = "{url}"\n'), {})
        assert (fact.status, fact.trouble) == (0, "it is no Ollama")


def test_who_does_not_answer_says_why(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    config = config_of(tmp_path, f'[relays]\nollama_url = "{url}"\nvictoria_url = "{url}"\n')
    assert look_at_ollama(config, {}).trouble == look_at_victoria(config).trouble == "Connection refused"
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        assert ask(address, 0.05) == (0, {}, "silent for 0.05 s")


def test_victoria_is_asked_for_her_health(tmp_path: Path) -> None:
    with server(OLLAMA) as url:
        fact = look_at_victoria(config_of(tmp_path, f'[relays]\nvictoria_url = "{url}"\n'))
    assert (fact.configured, fact.status) == (True, 200)


def test_whose_the_port_is(tmp_path: Path) -> None:
    port, home = free_port(), Home(tmp_path / "home")
    config = config_of(tmp_path, f"[server]\nport = {port}\n")
    assert look_at_port(config, home).state == "free"
    with socket.create_server(("127.0.0.1", port)):
        fact = look_at_port(config, home)
        assert (fact.state, fact.holder_home) == ("used", "")
    away = config_of(tmp_path, f'[server]\nport = {port}\nhost = "203.0.113.7"\n')
    assert look_at_port(away, home).state == "unusable"
