"""A configuration is checked whole: which file counts, what variables change, which names meet; else one clear line."""

import os
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config import BUILT_IN, Config, ConfigError, EchoConfig, ModelConfig, load_config, slug_of
from control.config_tables import TABLES
from control.settings import settings_of
from control.toml_text import toml
from control.weights import built_in_model, find_weights
from tests.support.toml_files import ECHO, Place, make_weights


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def echo(name: str, **settings: object) -> str:
    """A table for a model that needs no weights."""
    lines = "".join(f"{key} = {toml(value)}\n" for key, value in settings.items())
    return f'[models."{name}"]\nengine = "echo"\n{lines}'


# Which file.

def test_without_a_file_there_is_the_model_that_comes_with_the_product(place):
    config = place.load()
    assert config.source == BUILT_IN
    (model,) = config.models
    assert (model.name, model.engine, model.temperature, model.preload) == ("guide", "mlx", 0.0, True)
    assert model.path == find_weights("", "guide", [], {}) == str(built_in_model())
    assert 230 < model.max_tokens < 1000
    assert (config.host, config.port, config.max_running, config.max_queued) == ("127.0.0.1", 11435, 5, 50)
    assert place.load(WARDEN_PORT="", MLX_PRELOAD_MODELS="").port == 11435
    assert place.load(WARDEN_PORT="5", MLX_PRELOAD_MODELS="guide").models[0].preload


def test_the_named_file_beats_the_one_here_beats_the_one_at_home(place):
    at_home, named = place.home / "warden.toml", place.root / "other.toml"
    at_home.write_text(echo("at-home"))
    assert place.load().models[0].name == "at-home" and place.load().source == str(at_home)
    assert place.load(echo("here")).models[0].name == "here"
    named.write_text(echo("named"))
    for way in (str(named), "../other.toml", "~/../other.toml"):
        assert place.load(WARDEN_CONFIG=way).models[0].name == "named"
    assert place.load(WARDEN_CONFIG="").models[0].name == "here"


def test_a_file_that_cannot_be_read_is_refused_and_not_passed_over(place):
    (place.home / "warden.toml").write_text(ECHO)
    assert place.error(WARDEN_CONFIG="gone.toml") == \
        "WARDEN_CONFIG: gone.toml is not a file; correct the path or unset the variable"
    place.file.mkdir()
    assert place.error() == "warden.toml: is not a file; move it away, or put the settings there"
    place.file.rmdir()
    place.file.symlink_to("nowhere")
    assert place.error().startswith("warden.toml: is not a file")
    place.file.unlink()
    place.file.write_bytes(ECHO.encode() + b"# \xff")
    assert place.error() == "warden.toml:3: is not UTF-8 text; save the file as UTF-8"
    place.file.write_bytes(b"#" * (1024 * 1024 + 1))
    assert place.error() == "warden.toml: is larger than 1048576 bytes; keep only settings in it"
    place.file.write_text(ECHO)
    assert place.load().source == str(place.file)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens and cannot be read")
def test_a_file_that_fails_while_it_is_read_is_refused(place):
    place.file.symlink_to("/proc/self/mem")
    assert place.error() == "warden.toml: cannot be read (Input/output error); mend that, or move it away"


def test_a_byte_order_mark_and_foreign_line_ends_do_no_harm(place):
    place.file.write_bytes(b"\xef\xbb\xbf" + ECHO.replace("\n", "\r\n").encode())
    assert place.load().models[0].name == "echo"


# Models.

def test_a_model_is_read_whole(place):
    weights = make_weights(place.cwd / "m")
    config = place.load("""
        [models."phi3.5:3.8b"]
        path = "m"
        aliases = ["small"]
        context_length = 4096
        preload = true
        sampling.temperature = 0
        [models."phi3.5:3.8b".echo]
        answer_tokens = 3
    """)
    assert config.models == (ModelConfig(
        name="phi3.5:3.8b", slug="phi3-5-3-8b", path=str(weights.resolve()), aliases=("small",), context_length=4096,
        preload=True, temperature=0.0, echo=EchoConfig(answer_tokens=3)),)
    with pytest.raises(FrozenInstanceError):
        config.port = 1


def test_the_echo_engine_looks_at_no_path(place):
    assert place.load(ECHO + 'path = "/nowhere"').models[0].path == ""


def test_models_dir_is_looked_in_too(place):
    weights = make_weights(place.root / "shared" / "m")
    text = '[models.m]\npath = "m"\n'
    assert place.error(text).startswith('warden.toml:2: models.m.path: "m" is not a directory (looked for m)')
    for way in (str(place.root / "shared"), "../shared"):
        assert place.load(text, MLX_MODELS_DIR=way).models[0].path == str(weights.resolve())
    config = place.load('[control]\nmodels_dir = "../shared"\n' + text)
    assert config.models[0].path == str(weights.resolve())
    assert config.models_dir == str(place.root / "shared")
    assert place.error(text, WARDEN_MODELS_DIR="gone") == \
        "WARDEN_MODELS_DIR: gone is not a directory; correct it, or leave it out"


@pytest.mark.parametrize("text", ["", "[models]", "[limits]\nmax_running = 1"])
def test_a_file_without_a_model_is_refused(place, text):
    assert place.error(text) == ("warden.toml: models: no model is configured; "
                                 'add a line [models.NAME] and below it path = "the directory of the model"')


@pytest.mark.parametrize(("text", "line"), [
    ("models = 3", "warden.toml:1: models: must hold tables, not 3; write [models.NAME]"),
    ("\n[models.a]", 'warden.toml:2: models.a: has no path; '
                     'add path = "the directory of the model" (only engine = "echo" needs none)'),
    ("[models.a]\npath = 'gone'", 'warden.toml:2: models.a.path: "gone" is not a directory (looked for gone); '
                                  "correct the path"),
    (echo("a b"), 'warden.toml:1: models."a b": "a b" cannot be a name; '
                  "use 1 to 128 letters, digits and . _ - : /"),
    (echo(":latest"), 'warden.toml:1: models.":latest": ":latest" cannot be a name; '
                      "use 1 to 128 letters, digits and . _ - : /"),
    (echo("a", aliases=["é"]), 'warden.toml:3: models.a.aliases: "é" cannot be a name; '
                               "use 1 to 128 letters, digits and . _ - : /"),
    (echo("a" * 97), f"warden.toml:1: models.{'a' * 97}: is 97 characters long; the limit is 96; "
                     "shorten the name and make the long one an alias"),
    ("".join(map(echo, map(str, range(65)))), "warden.toml:1: models: there are 65; the limit is 64; remove some"),
    ("[server]\nhost = localhost", "warden.toml:2: not TOML: invalid value in `host = localhost`; "
                                   "text needs quotes, true and false are written in lower case"),
])
def test_a_wrong_model_is_refused_in_one_line(place, text, line):
    assert place.error(text) == line


@pytest.mark.parametrize(("first", "second", "line"), [
    (echo("a", aliases=["x"]), echo("b", aliases=["y", "x"]),
     'warden.toml:6: models.b.aliases: "x" is already a name of models.a (line 1); '
     "every name and alias may stand once"),
    (echo("a", aliases=["b:latest"]), echo("b"),
     'warden.toml:4: models.b: "b" is already a name of models.a (line 1); every name and alias may stand once'),
    (echo("a"), echo("A:latest"),
     'warden.toml:3: models."A:latest": "A:latest" is already a name of models.a (line 1); '
     "every name and alias may stand once"),
    (echo("a", aliases=["a:latest"]), "",
     'warden.toml:3: models.a.aliases: "a:latest" is already a name of models.a (line 1); '
     "every name and alias may stand once"),
    (echo("a.b"), echo("a-b"),
     'warden.toml:3: models.a-b: its process would be called worker-a-b, like the one of models."a.b" (line 1); '
     "rename one; the old name can stay as an alias"),
])
def test_names_that_meet_are_refused_with_both_places(place, first, second, line):
    assert place.error(first + second) == line


def test_the_longest_names_and_the_most_models_fit(place):
    config = place.load(echo("a" * 96, aliases=["b" * 128]) + "".join(map(echo, map(str, range(63)))))
    assert len(config.models) == 64 and config.find("b" * 128).slug == "a" * 96


def test_a_slug_is_what_programs_and_rows_may_be_called():
    assert slug_of("Phi3.5:3.8b") == "phi3-5-3-8b"
    assert slug_of("org/Model_1") == "org-model-1"


# Finding.

def test_a_model_is_found_by_name_and_alias_in_any_case_with_and_without_latest(place):
    config = place.load(echo("phi") + echo("Qwen3:latest", aliases=["q:4b"]))
    for name, found in {"phi": 0, "PHI": 0, "phi:latest": 0, "qwen3": 1, "q:4b": 1, "q:4b:latest": 1, "": 0,
                        "q": None, ":latest": None, "phi:3b": None}.items():
        assert config.find(name) is (None if found is None else config.models[found]), name
    assert config.close_names("Phy") == ["phi"] and config.close_names("qwen") == ["Qwen3:latest"]
    assert config.close_names("q:") == ["q:4b"] and config.close_names("") == []
    assert config.close_names("x" * 100_000) == []


def test_the_default_model_is_the_one_named_or_the_first(place):
    text = echo("a") + echo("b", aliases=["c"])
    assert place.load(text).find("").name == "a"
    assert place.load('[control]\ndefault_model = "c"\n' + text).find("").name == "b"
    assert place.load(text, WARDEN_DEFAULT_MODEL="B:latest").find("").name == "b"
    assert place.error('[control]\ndefault_model = "zz"\n' + text) == \
        'warden.toml:2: control.default_model: "zz" is no configured model; configured: a, b'
    assert place.error(text, WARDEN_DEFAULT_MODEL="bb") == \
        'WARDEN_DEFAULT_MODEL: "bb" is no configured model; did you mean b?'


# Several settings together.

def test_a_slot_must_be_left_for_those_below_high(place):
    text = "[limits]\nreserved_high = 3\n" + ECHO
    assert place.load(text, WARDEN_MAX_RUNNING="4").reserved_high == 3
    assert place.error(text, WARDEN_MAX_RUNNING="3") == (
        "warden.toml:2: limits.reserved_high: 3 is not smaller than max_running, 3 (WARDEN_MAX_RUNNING); "
        "write at most 2, or raise max_running")
    assert place.error(ECHO, WARDEN_RESERVED_HIGH="5") == (
        "WARDEN_RESERVED_HIGH: 5 is not smaller than max_running, 5 (the default); "
        "write at most 4, or raise max_running")


@pytest.mark.parametrize(("text", "env", "line"), [
    ("[memory]\nmemory_warning_percent = 95", {},
     "warden.toml:2: memory.memory_warning_percent: memory_warning_percent = 95 is not below "
     "memory_critical_percent = 95; they must rise: warning, critical, emergency"),
    ("[memory]\nmemory_critical_percent = 80", {},
     "warden.toml:2: memory.memory_critical_percent: memory_warning_percent = 85 is not below "
     "memory_critical_percent = 80; they must rise: warning, critical, emergency"),
    ("", {"MLX_MEMORY_CRITICAL_PERCENT": "99"},
     "MLX_MEMORY_CRITICAL_PERCENT: memory_critical_percent = 99 is not below memory_emergency_percent = 98; "
     "they must rise: warning, critical, emergency"),
])
def test_the_thresholds_of_memory_rise(place, text, env, line):
    rising = place.load("[memory]\nmemory_warning_percent = 50\nmemory_critical_percent = 50.5\n" + ECHO,
                        WARDEN_MEMORY_EMERGENCY_PERCENT="51")
    assert (rising.memory_warning_percent, rising.memory_critical_percent, rising.memory_emergency_percent) == \
        (50, 50.5, 51)
    assert place.error(f"{text}\n{ECHO}", **env) == line


def test_the_variable_says_which_models_are_preloaded_and_which_are_not(place):
    text = echo("a", preload=True) + echo("b", aliases=["c"])
    assert [model.preload for model in place.load(text).models] == [True, False]
    assert [model.preload for model in place.load(text, MLX_PRELOAD_MODELS=" C:latest,").models] == [False, True]
    both = place.load(text, MLX_PRELOAD_MODELS="nobody", WARDEN_PRELOAD="a,b")
    assert [model.preload for model in both.models] == [True, True]
    assert place.error(text, MLX_PRELOAD_MODELS="a,zz") == \
        'MLX_PRELOAD_MODELS: "zz" is no configured model; configured: a, b'


def test_a_misspelt_variable_is_refused(place):
    assert place.error(ECHO, WARDEN_MAX_RUNING="3") == \
        "WARDEN_MAX_RUNING: is no setting; did you mean WARDEN_MAX_RUNNING?"


# Anything at all.

KEYS = sorted({key for cls in TABLES.values() for key in settings_of(cls)} | {"models", "server", "limits", "a"})
VARIABLES = [name for cls in TABLES.values() for item in settings_of(cls).values() for name in item.variables]
VALUES = st.sampled_from([
    "0", "-1", "5", "0.5", "nan", "1e999", f"0x{'f' * 5000}", "true", '"echo"', '"a"', '"\\u0000"', '["a", "b"]', "[1]",
    "{}", "{ a = 1 }", "1979-05-27", "''", '"../.."', '"127.0.0.1"'])
LINES = st.one_of(
    st.builds("[{}]".format, st.sampled_from([*(name.replace("NAME", "a") for name in TABLES), 'models."b.c"', "x"])),
    st.builds("{} = {}".format, st.sampled_from(KEYS), VALUES),
    st.text(max_size=10),
)


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory) -> Place:
    return Place(tmp_path_factory.mktemp("anywhere"))


def loads_or_is_refused_in_one_line(place: Place, text: str | None, env: dict[str, str]) -> None:
    try:
        config = load_config({**place.env, **env}, place.cwd) if text is None else place.load(text, **env)
    except ConfigError as error:
        assert str(error).isprintable() and "; " in str(error)
    else:
        assert isinstance(config, Config) and config.find("") in config.models


@given(text=st.lists(LINES, max_size=12).map("\n".join))
def test_any_text_is_a_configuration_or_one_line(anywhere, text):
    loads_or_is_refused_in_one_line(anywhere, text, {})


@given(data=st.binary(max_size=30))
def test_any_bytes_are_a_configuration_or_one_line(anywhere, data):
    anywhere.file.write_bytes(data)
    loads_or_is_refused_in_one_line(anywhere, None, {})


@given(env=st.dictionaries(st.sampled_from(VARIABLES) | st.text(max_size=5).map("WARDEN_{}".format),
                           st.sampled_from(["1", "echo", "nan", "a,b", "::1", "9" * 5000]) | st.text(max_size=10),
                           max_size=4))
def test_any_variables_are_a_configuration_or_one_line(anywhere, env):
    loads_or_is_refused_in_one_line(anywhere, ECHO, env)
