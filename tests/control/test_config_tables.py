"""Unknown keys are refused with the likeliest reason, variables beat the file, and every refusal is one line."""

import re
from pathlib import Path

import pytest

from control.config_tables import ConfigError, Place, close, read_sections, read_table, refuse_misspelt
from control.toml_text import TomlFile
from tests.support.supervisor_home import ROOT

CWD = Path("/cwd")


def file(text: str) -> TomlFile:
    return TomlFile(Path("/etc/w.toml"), text)


def refused(text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read_sections(file(text), env or {}, CWD)
    return str(caught.value)


def test_only_what_is_given_is_returned_with_the_place_where_it_was_given():
    values, places = read_sections(file("[limits]\naging_s = 5\n[server]\nport = 80"), {"WARDEN_HOST": "::1"}, CWD)
    assert values == {"aging_s": 5.0, "port": 80, "host": "::1"}
    assert places == {"aging_s": Place("/etc/w.toml:2: limits.aging_s", Path("/etc")),
                      "port": Place("/etc/w.toml:4: server.port", Path("/etc")), "host": Place("WARDEN_HOST", CWD)}
    assert read_sections(None, {}, CWD) == ({}, {})


@pytest.mark.parametrize(("variables", "value"), [
    ({"WARDEN_MAX_QUEUED": "1", "OLLAMA_MAX_QUEUE": "2", "MLX_MAX_QUEUE_SIZE": "3"}, 1),
    ({"MLX_MAX_QUEUE_SIZE": "3", "OLLAMA_MAX_QUEUE": "2"}, 2),
    ({"MLX_MAX_QUEUE_SIZE": "3"}, 3),
    ({"MLX_MAX_QUEUE": "3"}, 9),
])
def test_ours_beats_ollamas_beats_the_old_systems_beats_the_file(variables, value):
    assert read_sections(file("[limits]\nmax_queued = 9"), variables, CWD)[0]["max_queued"] == value


def test_a_wrong_value_in_the_file_is_refused_even_if_a_variable_replaces_it():
    line = refused("[limits]\nmax_queued = 0", {"WARDEN_MAX_QUEUED": "5"})
    assert line == ("/etc/w.toml:2: limits.max_queued: must be a whole number from 1 to 100000, not 0; "
                    "write for example max_queued = 50")


@pytest.mark.parametrize(("variable", "value", "line"), [
    ("WARDEN_PORT", "x", 'WARDEN_PORT: must be a whole number from 1 to 65535, not "x"; '
                         "set for example WARDEN_PORT=11435 or unset it"),
    ("MLX_MAX_CONCURRENT", "0", "MLX_MAX_CONCURRENT: must be a whole number from 1 to 1024, not 0; "
                                "set for example MLX_MAX_CONCURRENT=5 or unset it"),
    ("WARDEN_AGING_S", "nan", "WARDEN_AGING_S: must be a number of seconds from 0 to 86400, not nan; "
                              "set for example WARDEN_AGING_S=30.0 or unset it"),
    ("WARDEN_ALLOWED_HOSTS", "a, *", 'WARDEN_ALLOWED_HOSTS: "*" is not a bare host name (no scheme, port or *); '
                                     "correct it or unset WARDEN_ALLOWED_HOSTS"),
    ("WARDEN_ALLOWED_ORIGINS", "app://*, *",
     'WARDEN_ALLOWED_ORIGINS: "*" would let every website use this server; name those that may, such as '
     "https://notes.example, http://localhost:* or app://*; correct it or unset WARDEN_ALLOWED_ORIGINS"),
])
def test_a_wrong_variable_is_named(variable, value, line):
    assert refused("", {variable: value}) == line


@pytest.mark.parametrize(("text", "line"), [
    ("port = 1", "/etc/w.toml:1: port: unknown setting; it belongs below [server]"),
    ("[limits]\nport = 1", "/etc/w.toml:2: limits.port: unknown setting; it belongs below [server]"),
    ("[limits]\nmax_runing = 1", "/etc/w.toml:2: limits.max_runing: unknown setting; did you mean max_running?"),
    ("[sevrer]\nport = 1", "/etc/w.toml:1: sevrer: unknown table; did you mean server?"),
    ("[model.a]\npath = ''", "/etc/w.toml:1: model: unknown table; did you mean models?"),
    ("[zzz]", "/etc/w.toml:1: zzz: unknown table; known here: server, limits, control, memory, routing, relays, "
     "models, categories"),
    ("temperature = 1", "/etc/w.toml:1: temperature: unknown setting; it belongs below [models.NAME.sampling]"),
    ("server = 3", "/etc/w.toml:1: server: must be a table, not 3; "
                   "write [server] on a line of its own and the settings below it"),
])
def test_what_stands_in_the_wrong_place_is_sent_to_the_right_one(text, line):
    assert refused(text) == line


@pytest.mark.parametrize(("text", "line"), [
    ("[models]\npath = 'x'", "/etc/w.toml:2: models.path: must be a table, not \"x\"; "
                             "write [models.NAME] on a line of its own and the settings below it"),
    ("[models.phi3.5]\npath = 'x'", "/etc/w.toml:1: models.phi3.5: unknown table; "
                                    'if the dot belongs to the model\'s name, write [models."phi3.5"]'),
    ('[models."a:b"]\ntop_p = 1', '/etc/w.toml:2: models."a:b".top_p: unknown setting; '
                                  'it belongs below [models."a:b".sampling]'),
    ("[models.a]\nsamplng.top_p = 1", "/etc/w.toml:2: models.a.samplng: unknown table; did you mean sampling?"),
])
def test_the_usual_mistakes_about_models_are_recognised(text, line):
    toml = file(text)
    with pytest.raises(ConfigError) as caught:
        read_table(toml, ("models", next(iter(toml.data["models"]))), ("sampling", "echo"))
    assert str(caught.value) == line


def test_a_misspelt_variable_is_refused_and_a_strange_one_is_not_ours_to_judge():
    with pytest.raises(ConfigError, match=r"^WARDEN_PROT: is no setting; did you mean WARDEN_PORT\?$"):
        refuse_misspelt({"WARDEN_PROT": "1"})
    with pytest.raises(ConfigError, match="did you mean WARDEN_PRELOAD"):
        refuse_misspelt({"WARDEN_PRELOADS": "a"})
    refuse_misspelt({"WARDEN_HOME": "/", "WARDEN_CONFIG": "x", "WARDEN_PRESSURE_FILE": "x", "WARDEN_PORT": "1",
                     "WARDEN_SOMETHING_ELSE": "x", "OLLAMA_PROT": "1", f"WARDEN_{'x' * 100_000}": "1"})


def test_an_error_is_one_line_whatever_is_in_it():
    line = str(ConfigError("a\nb", 'x\x1b[2J\r"\udc80"', "é\u2028"))
    assert line == 'a\\nb: x\\x1b[2J\\r"\\udc80"; é\\u2028'


def test_close_ignores_case_and_gives_the_spelling_of_the_configuration():
    assert close("PHI", ["Phi-3.5", "llama", "Phi3"]) == ["Phi3", "Phi-3.5"]
    assert close("x" * 1000, ["x" * 1000]) == []


def test_no_variable_that_the_product_reads_is_taken_for_a_misspelt_setting():
    read = {name for folder in ("control", "workers", "gateway", "bench") for path in (ROOT / folder).rglob("*.py")
            for name in re.findall(r"WARDEN_[A-Z]+(?:_[A-Z]+)*\b", path.read_text())}
    assert {"WARDEN_HOME", "WARDEN_CONFIG", "WARDEN_TEST_KEYS_OFF"} <= read
    refuse_misspelt(dict.fromkeys(read, "1"))


@pytest.mark.parametrize(("said", "origins"), [("*, app://*,http://*", ("app://*",)), ("*", ())])
def test_who_lets_every_website_ask_ollama_has_not_said_so_of_us(said, origins):
    assert read_sections(None, {"OLLAMA_ORIGINS": said}, CWD)[0]["allowed_origins"] == origins
    assert "every website" in refused("", {"WARDEN_ALLOWED_ORIGINS": said})
