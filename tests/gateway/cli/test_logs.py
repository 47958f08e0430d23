"""`warden logs`: which lines and programs are meant, from files that the test wrote."""

import json

import pytest

from control.home import Home
from gateway.cli.exits import FAILED
from gateway.cli.main import main

SETTINGS = ('[server]\nhttp_processes = 2\n[models."phi3.5-mini"]\nengine = "echo"\naliases = ["phi3.5:3.8b"]\n'
            '[models.tiny]\nengine = "echo"\n')


@pytest.fixture(autouse=True)
def stack(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Home:
    (tmp_path / "warden.toml").write_text(SETTINGS)
    for number, (program, fields) in enumerate((
            ("control", {"event": "load", "model": "phi3-5-mini"}),
            ("gateway", {"event": "pull", "model": "phi3.5-mini"}),
            ("http-0", {"event": "request_ended", "request_id": "r-1", "model": "tiny"}),
            ("gateway", {"event": "spill", "request_id": "r-1", "model": "phi3-5-mini"}),
            ("worker-phi3-5-mini", {"event": "loaded"}), ("worker-gone", {"event": "loaded"}),
            ("http-1", {"event": "http_up"}), ("relay-ollama", {"event": "loaded"}))):
        with open(home.logs / f"{program}.log", "a") as file:
            file.write(json.dumps({"timestamp": f"2026-08-08T10:00:0{number}Z", "level": "info", "process": program}
                                  | fields) + "\n")
    with open(home.logs / "worker-phi3-5-mini.log", "a") as file:
        file.write("Traceback\n")
    return home


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Program and event, or the text, of the lines that a command prints."""
    assert main(["logs", "--json", *words]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [f"{line['program']} {line.get('event') or line['text']}" for line in lines]


def test_all_programs_are_merged_by_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys) == [
        "control load", "gateway pull", "http-0 request_ended", "gateway spill", "worker-phi3-5-mini loaded",
        "worker-phi3-5-mini Traceback", "worker-gone loaded", "http-1 http_up", "relay-ollama loaded"]
    assert told(capsys, "-n", "1") == ["relay-ollama loaded"] and told(capsys, "--lines", "0") == []


@pytest.mark.parametrize(("words", "programs"), [
    (["http"], ["http-0", "http-1"]), (["http-1", "control"], ["control", "http-1"]),
    (["relay-ollama"], ["relay-ollama"]), (["phi3.5:3.8b", "-n", "1"], ["worker-phi3-5-mini"]),
    (["worker"], ["worker-phi3-5-mini", "worker-phi3-5-mini", "worker-gone"]), (["supervisord"], []),
    (["worker-tiny"], [])])
def test_programs_are_chosen_by_name_or_by_how_they_begin(capsys: pytest.CaptureFixture[str], words: list[str],
                                                         programs: list[str]) -> None:
    assert [line.split()[0] for line in told(capsys, *words)] == programs


@pytest.mark.parametrize("model", ["phi3.5-mini", "phi3.5:3.8b", "PHI3-5-mini:latest"])
def test_a_model_is_meant_by_any_of_its_names(capsys: pytest.CaptureFixture[str], model: str) -> None:
    assert told(capsys, "--model", model) == ["control load", "gateway pull", "gateway spill",
                                              "worker-phi3-5-mini loaded", "worker-phi3-5-mini Traceback"]


def test_a_request_is_found_in_all_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--request", "r-1") == ["http-0 request_ended", "gateway spill"]
    assert told(capsys, "--request", "r-1", "--model", "tiny") == ["http-0 request_ended"]
    assert told(capsys, "--request", "r-1", "-n", "0") == []


def test_a_request_of_which_no_line_tells_is_said_to_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--json", "--request", "r-"]) == FAILED
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("no line is about request r-: ")


def test_the_requests_that_a_lost_worker_left_lead_to_its_line(capsys: pytest.CaptureFixture[str], home: Home) -> None:
    with open(home.logs / "gateway.log", "a") as file:
        file.write(json.dumps({"timestamp": "2026-08-08T10:01:00Z", "process": "gateway", "event": "worker_lost",
                               "model": "tiny", "requests": ["r-2", "r-3"]}) + "\n")
    assert told(capsys, "--request", "r-3") == ["gateway worker_lost"]


def test_a_model_that_was_deleted_has_its_log_still(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    assert told(capsys, "--model", "gone") == ["worker-gone loaded"]
    (tmp_path / "warden.toml").write_text("broken = [")
    assert told(capsys, "--model", "gone") == ["worker-gone loaded"]


@pytest.mark.parametrize(("words", "line"), [
    (["htp"], "no program is called 'htp'; there are control, gateway, http, http-0"),
    (["--model", "phi"], "no model is called 'phi'; did you mean phi3.5-mini"),
    (["--model", "zz"], "no model is called 'zz'; there are phi3.5-mini, tiny")])
def test_unknown_names_are_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str], words: list[str],
                                                       line: str) -> None:
    assert main(["logs", *words]) == 2
    assert capsys.readouterr().err.startswith(line)


def test_a_broken_configuration_is_named_where_it_matters(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    (tmp_path / "warden.toml").write_text("broken = [")
    assert main(["logs", "--model", "tiny"]) == 2
    assert "warden.toml" in capsys.readouterr().err
    assert len(told(capsys)) == 9


def test_no_logs_are_an_error_with_the_remedy(capsys: pytest.CaptureFixture[str], stack: Home) -> None:
    for path in stack.logs.iterdir():
        path.unlink()
    assert main(["logs"]) == 1
    assert "warden up" in capsys.readouterr().err


def test_a_file_gets_plain_lines_with_their_dates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "control"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split() == [line.split()[0], line.split()[1], "info", "control", "load", "model=phi3-5-mini"]
    assert line.startswith("2026-08-0") and "\x1b" not in line
