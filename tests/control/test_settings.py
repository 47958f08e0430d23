"""Each declaration is whole and true: defaults pass their own check, limits refuse, the example file is generated."""

import tomllib
from pathlib import Path

import pytest

from control.config_tables import TABLES
from control.setting_rules import check, described
from control.settings import (
    SECTIONS,
    Control,
    EchoConfig,
    Limits,
    Memory,
    ModelSettings,
    SamplingSettings,
    Server,
    example_toml,
    settings_of,
)
from tests.support.toml_files import Place, make_cached
from workers.protocol import Sampling

ALL = [item for cls in TABLES.values() for item in settings_of(cls).values()]
WRITE_ANEW = """the declarations have changed; write the file anew with
python -c 'from control.settings import example_toml; print(example_toml(), end="")' > warden.example.toml"""
EXAMPLE = Path(__file__).parents[2] / "warden.example.toml"


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.key)
def test_a_declaration_is_whole(item):
    given = list(item.default) if item.kind is tuple else item.default
    assert check(item, given) == item.default and type(check(item, given)) is item.kind
    assert item.why.endswith(".") and len(item.why) > 20
    if item.kind in (int, float):
        assert item.low < item.high
        assert check(item, item.low) == item.low and check(item, item.high) == item.high
        for outside in (item.low - 1, item.high + 1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="must be"):
                check(item, outside)
    for wrong in (True, 1, 0.5, "text", ["x"], [1], {}, None):
        allowed = (int, float) if item.kind is float else list if item.kind is tuple else item.kind
        if not isinstance(wrong, allowed) or (wrong is True and item.kind is not bool):
            with pytest.raises(ValueError, match=f"must be {described(item)[:5]}"):
                check(item, wrong)


def test_no_name_or_variable_means_two_things():
    variables = [name for item in ALL for name in item.variables]
    assert len(variables) == len(set(variables))
    flat = [key for cls in SECTIONS.values() for key in settings_of(cls)]
    assert len(flat) == len(set(flat))


def test_every_setting_of_the_process_has_a_variable_of_ours():
    for cls in (Server, Limits, Control, Memory):
        for key, item in settings_of(cls).items():
            assert item.variables[0] == f"WARDEN_{key.upper()}"
    assert settings_of(Limits)["max_queued"].variables[1:] == ("OLLAMA_MAX_QUEUE", "MLX_MAX_QUEUE_SIZE")
    assert settings_of(Limits)["max_running"].variables[1:] == ("MLX_MAX_CONCURRENT",)
    assert settings_of(ModelSettings)["preload"].variables == ("WARDEN_PRELOAD", "MLX_PRELOAD_MODELS")
    assert settings_of(Control)["models_dir"].variables[1:] == ("MLX_MODELS_DIR",)
    assert settings_of(Memory)["keep_alive"].variables[1:] == ("OLLAMA_KEEP_ALIVE",)
    assert settings_of(Memory)["memory_warning_percent"].variables[1:] == ("MLX_MEMORY_WARNING_PERCENT",)
    assert settings_of(Memory)["memory_critical_percent"].variables[1:] == ("MLX_MEMORY_CRITICAL_PERCENT",)
    assert settings_of(ModelSettings)["keep_alive"].variables == ()


def test_sampling_settings_are_those_of_the_job_protocol():
    assert set(settings_of(SamplingSettings)) == set(Sampling.__struct_fields__) - {"seed"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_own_addresses_are_accepted(host):
    assert check(settings_of(Server)["host"], host) == host


@pytest.mark.parametrize(("host", "why"), [
    ("0.0.0.0", "no API keys"), ("::", "no API keys"), ("192.168.1.2", "no API keys"),
    ("example.org", "not an address"), ("", "not an address"), ("[::1]", "not an address")])
def test_addresses_that_others_can_reach_are_refused(host, why):
    with pytest.raises(ValueError, match=why):
        check(settings_of(Server)["host"], host)


@pytest.mark.parametrize("name", ["*", "http://a", "a:80", "", "a b", "a/b"])
def test_allowed_hosts_are_bare_names(name):
    with pytest.raises(ValueError, match="bare host name"):
        check(settings_of(Server)["allowed_hosts"], ["mac.local", name])


@pytest.mark.parametrize(("cls", "key"), [(Memory, "keep_alive"), (Memory, "keep_alive_max"),
                                          (ModelSettings, "keep_alive")])
def test_keep_alive_is_a_time(cls, key):
    for text in ("0", "-1", "90", "5m", "1h30m"):
        assert check(settings_of(cls)[key], text) == text
    with pytest.raises(ValueError, match=r'^"five" is no time: neither a number of seconds nor a duration such as'):
        check(settings_of(cls)[key], "five")


def test_only_a_model_may_leave_keep_alive_to_the_wider_setting():
    assert check(settings_of(ModelSettings)["keep_alive"], "") == ""
    for key in ("keep_alive", "keep_alive_max"):
        with pytest.raises(ValueError, match="is no time"):
            check(settings_of(Memory)[key], "")


def test_the_example_file_is_the_declarations():
    assert EXAMPLE.read_text("utf-8") == example_toml(), WRITE_ANEW
    assert all(len(line) <= 120 for line in example_toml().split("\n"))


def test_the_example_explains_every_setting_and_names_every_variable():
    text = example_toml()
    for item in ALL:
        assert f"\n{item.key} = " in text or f"\n#{item.key} = " in text
        assert all(variable in text for variable in item.variables)


def test_the_example_loads_and_is_the_defaults(tmp_path):
    place = Place(tmp_path)
    make_cached(tmp_path / "hub", "mlx-community/Phi-3.5-mini-instruct-4bit")
    config = place.load(example_toml(), HF_HUB_CACHE=str(tmp_path / "hub"))
    for cls in SECTIONS.values():
        assert {key: getattr(config, key) for key in settings_of(cls)} == \
            {key: item.default for key, item in settings_of(cls).items()}
    model = config.find("phi3.5:3.8b")
    assert model is config.find("") and model.aliases == ("phi3.5:3.8b",)
    for cls in (ModelSettings, SamplingSettings):
        assert all(getattr(model, key) == item.default for key, item in settings_of(cls).items() if not item.example)


def test_the_commented_lines_of_the_example_are_settings_too(tmp_path):
    lines = [line[1:] if line.startswith("#") and not line.startswith("# ") else line
             for line in example_toml().split("\n")]
    echo = tomllib.loads("\n".join(lines))["models"]["phi3.5-mini-4k"]["echo"]
    assert echo == {key: item.default for key, item in settings_of(EchoConfig).items()}
