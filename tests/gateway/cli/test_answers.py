"""`warden ask`: the answer and nothing else on stdout, whichever way it comes, and errors as one line with a code."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from control.home import Home, prepare_home
from gateway import protocol
from gateway.cli.main import main
from tests.support.fake_gateway import FakeGateway, accepted, done, error, tokens

ANSWER = [{"message": {"content": "one "}, "done": False}, {"message": {"content": ""}, "done": False},
          {"message": {"content": "two"}, "done": True}]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    prepare_home(home)
    (tmp_path / "warden.toml").write_text('[models.tiny]\nengine = "echo"\n')
    monkeypatch.setenv("WARDEN_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def gateway(home: Home) -> Iterator[FakeGateway]:
    with FakeGateway(home.endpoint("clients")) as gateway:
        yield gateway


class HttpFace(ThreadingHTTPServer):
    """An HTTP server that answers one way and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.lines, self.headers = 200, ANSWER, {}
        self.asked: list[tuple[str, dict, dict]] = []
        super().__init__(("127.0.0.1", 0), HttpHandler)


class HttpHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for line in self.server.lines:
            self.wfile.write(json.dumps(line).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def http_face(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpFace]:
    face = HttpFace()
    monkeypatch.setenv("WARDEN_PORT", str(face.server_port))
    thread = threading.Thread(target=face.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield face
    face.shutdown()
    thread.join()
    face.server_close()


def test_over_zeromq(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "what?", "--model", "tiny", "--priority", "high", "--max-tokens", "7"]) == 0
    assert capsys.readouterr().out == "one two three\n"
    submit = gateway.wait_for(protocol.Submit)
    assert (submit.model, submit.priority, submit.options.max_tokens) == ("tiny", "high", 7)
    assert submit.messages == [protocol.Message("user", "what?")]


def test_without_options_the_models_own_defaults_hold(gateway: FakeGateway) -> None:
    assert main(["ask", "what?"]) == 0
    submit = gateway.wait_for(protocol.Submit)
    assert (submit.model, submit.priority, submit.options) == ("", "medium", protocol.Options())


def test_waiting_is_told_on_stderr(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.on[protocol.Submit] = lambda submit: [
        accepted(submit.id, 1), protocol.Progress(submit.id, 0, "loading", 4.0),
        protocol.Progress(submit.id, 0, "loading", 2.0),
        protocol.Progress(submit.id, 0, "memory", 9.0, detail="waits for a, which answers"),
        tokens(submit.id, 0, "hi"), done(submit.id, 1)]
    assert main(["ask", "what?"]) == 0
    assert capsys.readouterr() == (
        "hi\n", "[loading, about 4 s]\n[memory: waits for a, which answers]\n")


@pytest.mark.parametrize(("arguments", "variable"), [(["--key", "warden-1"], ""), ([], "warden-1"),
                                                     (["--key", "warden-1"], "warden-2")])
def test_the_key_goes_with_the_question(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
                                        variable: str) -> None:
    monkeypatch.setenv("WARDEN_KEY", variable)
    assert main(["ask", "what?", *arguments]) == 0
    assert gateway.wait_for(protocol.Submit).key == gateway.wait_for(protocol.Hello).key == "warden-1"


def test_another_backend_or_class_than_asked_is_told_on_stderr(gateway: FakeGateway, capsys) -> None:
    gateway.on[protocol.Submit] = lambda submit: [
        protocol.Accepted(submit.id, 1, "tiny", "low", 0, "high"),
        protocol.Started(submit.id, "t:1b", "mlx>ollama", "overloaded", 1, 0.0, 0.0),
        tokens(submit.id, 0, "hi"), done(submit.id, 1)]
    assert main(["ask", "what?", "--priority", "high"]) == 0
    assert capsys.readouterr() == ("hi\n", "[class low: this key does not allow high]\n[mlx>ollama: overloaded]\n")


@pytest.mark.parametrize("key", ["x" * 257, "warden-\n1", "wärden"])
def test_what_cannot_be_a_key_is_refused_and_not_quoted(gateway: FakeGateway, capsys, key: str) -> None:
    assert main(["ask", "what?", "--key", key]) == 2
    err = capsys.readouterr().err
    assert "this is no API key" in err and key not in err and not gateway.all(protocol.Submit)


def test_the_key_goes_with_the_question_over_http(http_face: HttpFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDEN_KEY", "warden-1")
    assert main(["ask", "what?", "--http"]) == 0
    monkeypatch.delenv("WARDEN_KEY")
    assert main(["ask", "what?", "--http"]) == 0
    assert [headers.get("Authorization") for _, headers, _ in http_face.asked] == ["Bearer warden-1", None]


@pytest.mark.parametrize(("code", "exit_code"), [
    ("model_not_found", 2), ("unauthorized", 2), ("model_reserved", 2), ("rate_limited", 1), ("queue_full", 1)])
def test_an_error_of_the_gateway(gateway: FakeGateway, capsys: pytest.CaptureFixture[str], code: str,
                                 exit_code: int) -> None:
    gateway.on[protocol.Submit] = lambda submit: [error(submit.id, code, "as it is", retry_after_s=9.0)]
    assert main(["ask", "what?"]) == exit_code
    assert capsys.readouterr().err == "as it is (try again in 9 s)\n"


def test_over_http(http_face: HttpFace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "what?", "--http", "--priority", "low", "--max-tokens", "7"]) == 0
    assert capsys.readouterr().out == "one two\n"
    ((path, headers, body),) = http_face.asked
    assert path == "/api/chat"
    assert headers["X-Request-Priority"] == "low"
    assert body["model"] == "tiny"
    assert body["messages"] == [{"role": "user", "content": "what?"}]
    assert body["options"] == {"num_predict": 7}


@pytest.mark.parametrize("how", [[], ["--http"]])
def test_json_lines_are_the_same_whichever_way_it_comes(gateway: FakeGateway, http_face: HttpFace, capsys,
                                                       how: list[str]) -> None:
    http_face.lines = [{"message": {"content": word}, "done": False} for word in ("one ", "two ", "three")] + [
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "model": "tiny", "prompt_eval_count": 5,
         "eval_count": 3, "load_duration": 2_000_000, "total_duration": 10_500_000}]
    assert main(["ask", "what?", "--json", *how]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("text") for line in lines] == ["one ", "two ", "three", None]
    assert lines[-1]["event"] == "done" and lines[-1]["model"] == "tiny" and lines[-1]["finish_reason"] == "stop"
    assert lines[-1]["usage"]["completion_tokens"] == 3 and lines[-1]["timings"]["load_ms"] == 2.0


@pytest.mark.parametrize(("status", "exit_code"), [(401, 2), (404, 2), (429, 1), (503, 1)])
def test_a_status_of_http(http_face: HttpFace, capsys: pytest.CaptureFixture[str], status: int, exit_code: int) -> None:
    http_face.status, http_face.lines, http_face.headers = status, [{"error": "as it is"}], {"Retry-After": "9"}
    assert main(["ask", "what?", "--http"]) == exit_code
    assert capsys.readouterr().err == "as it is (try again in 9 s)\n"


@pytest.mark.parametrize(("lines", "told"), [
    ([ANSWER[0], {"error": "worker died"}], "worker died\n"),
    (ANSWER[:1], "the answer broke off\n"),
])
def test_an_answer_that_breaks_off_is_no_success(
        http_face: HttpFace, capsys: pytest.CaptureFixture[str], lines: list[dict], told: str) -> None:
    http_face.lines = lines
    assert main(["ask", "what?", "--http"]) == 1
    assert capsys.readouterr() == ("one ", told)


def test_nobody_answers_over_http(home: Home, capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDEN_PORT", "1")
    assert main(["ask", "what?", "--http"]) == 1
    assert "is the stack up?" in capsys.readouterr().err


def test_a_wrong_priority_is_refused_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "what?", "--priority", "urgent"]) == 2
    assert "urgent" in capsys.readouterr().err


def test_a_stack_that_does_not_run_is_told_at_once(tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WARDEN_HOME", str(tmp_path / "nothing"))
    assert main(["ask", "what?"]) == 1
    assert "nothing runs in" in capsys.readouterr().err
