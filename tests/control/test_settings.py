"""Each declaration is whole and true: defaults pass their own check, limits refuse, and wrong values are told where."""

import pytest

from control.config_tables import TABLES
from control.setting_rules import check, described
from control.settings import (
    SECTIONS,
    Control,
    Limits,
    Memory,
    ModelSettings,
    Relays,
    Routing,
    SamplingSettings,
    Server,
    settings_of,
)
from tests.support.toml_files import ECHO, Place
from workers.protocol import Sampling

ALL = [item for cls in TABLES.values() for item in settings_of(cls).values()]


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
    for cls in SECTIONS.values():
        for key, item in settings_of(cls).items():
            assert item.variables[0] == f"WARDEN_{key.upper()}"
    assert settings_of(Limits)["max_queued"].variables[1:] == ("OLLAMA_MAX_QUEUE", "MLX_MAX_QUEUE_SIZE")
    assert settings_of(Limits)["max_running"].variables[1:] == ("MLX_MAX_CONCURRENT",)
    assert settings_of(ModelSettings)["preload"].variables == ("WARDEN_PRELOAD", "MLX_PRELOAD_MODELS")
    assert settings_of(Control)["models_dir"].variables[1:] == ("MLX_MODELS_DIR",)
    assert settings_of(Memory)["keep_alive"].variables[1:] == ("OLLAMA_KEEP_ALIVE",)
    assert settings_of(Memory)["memory_warning_percent"].variables[1:] == ("MLX_MEMORY_WARNING_PERCENT",)
    assert settings_of(Memory)["memory_critical_percent"].variables[1:] == ("MLX_MEMORY_CRITICAL_PERCENT",)
    assert settings_of(Limits)["rate_limit_max"].variables[1:] == ("MLX_RATE_LIMIT_MAX",)
    assert settings_of(Limits)["rate_limit_window_s"].variables[1:] == ("MLX_RATE_LIMIT_WINDOW",)
    for key in ("keep_alive", "audience", "ollama_model"):
        assert settings_of(ModelSettings)[key].variables == ()


def test_the_limits_of_behaviour_1_are_the_defaults():
    limits = {key: item.default for key, item in settings_of(Limits).items()}
    assert (limits["max_running"], limits["max_queued"], limits["queue_deadline_s"]) == (5, 50, 300.0)
    assert (limits["rate_limit_max"], limits["rate_limit_window_s"]) == (500, 90.0)
    routing = {key: item.default for key, item in settings_of(Routing).items()}
    assert (routing["simple_max_chars"], routing["spill_after_queued"]) == (500, 3)
    assert routing["simple_categories"] == ("fast", "simple_query", "text_summarization", "grammar_correction")
    relays = settings_of(Relays)
    assert (relays["ollama_vision_model"].default, relays["ollama_document_model"].default) == ("moondream", "llava:7b")
    assert relays["ollama_url"].default == relays["victoria_url"].default == "", "no relay unless one is configured"


# A wrong value of each new setting, in the file and in its variable.

@pytest.mark.parametrize(("section", "key", "wrong", "why"), [
    ("limits", "rate_limit_max", "-1", "must be a whole number from 0 to 1000000000, not -1"),
    ("limits", "rate_limit_window_s", "0", "must be a number of seconds from 1 to 86400, not 0"),
    ("routing", "simple_max_chars", "-1", "must be a whole number from 0 to 1000000, not -1"),
    ("routing", "spill_after_queued", "100001", "must be a whole number from 0 to 100000, not 100001"),
    ("relays", "ollama_max_running", "0", "must be a whole number from 1 to 256, not 0"),
    ("relays", "victoria_max_running", "257", "must be a whole number from 1 to 256, not 257"),
    ("relays", "relay_connect_s", "0", "must be a number of seconds from 0.05 to 300, not 0"),
    ("relays", "relay_first_byte_s", "0", "must be a number of seconds from 0.1 to 86400, not 0"),
    ("relays", "relay_idle_s", "nan", "must be a number of seconds from 0.1 to 86400, not nan"),
    ("relays", "relay_probe_every_s", "3601", "must be a number of seconds from 0.05 to 3600, not 3601"),
    ("server", "require_key", "1", "must be true or false, not"),
])
def test_a_wrong_value_is_refused_with_its_place(tmp_path, section, key, wrong, why):
    place, variable = Place(tmp_path), f"WARDEN_{key.upper()}"
    assert place.error(f"{ECHO}[{section}]\n{key} = {wrong}").startswith(f"warden.toml:4: {section}.{key}: {why}")
    assert place.error(ECHO, **{variable: wrong}).startswith(f"{variable}: {why}")


@pytest.mark.parametrize(("section", "key", "wrong", "why"), [
    ("server", "user_header", "X User", '"X User" is no name of a header such as X-OpenWebUI-User-Id'),
    ("server", "user_header", "Authorization", '"Authorization" holds a key and not the name of a user'),
    ("relays", "ollama_url", "127.0.0.1:11434", '"127.0.0.1:11434" is no address such as http://127.0.0.1:11434'),
    ("relays", "victoria_url", "http://h:0", '"http://h:0" is no address such as http://127.0.0.1:11434'),
    ("relays", "ollama_url", "http://me:pw@h", '"http://...@h" holds a user or a password; write the key into a file'),
])
def test_a_wrong_text_is_refused_with_its_place(tmp_path, section, key, wrong, why):
    place, variable = Place(tmp_path), f"WARDEN_{key.upper()}"
    assert place.error(f'{ECHO}[{section}]\n{key} = "{wrong}"').startswith(f"warden.toml:4: {section}.{key}: {why}")
    assert place.error(ECHO, **{variable: wrong}).startswith(f"{variable}: {why}")


@pytest.mark.parametrize(("line", "why"), [
    ('audience = "people"', 'audience: must be "all" or "agents", not "people"; write for example audience = "all"'),
    ("audience = true", 'audience: must be "all" or "agents", not true; write for example audience = "all"'),
    ("ollama_model = 3", 'ollama_model: must be a text in quotes, not 3; write for example ollama_model = '
                         '"phi3.5:3.8b"'),
])
def test_a_wrong_setting_of_a_model_is_refused_with_its_place(tmp_path, line, why):
    assert Place(tmp_path).error(f"{ECHO}{line}") == f"warden.toml:3: models.echo.{why}"


def test_the_variables_of_the_old_system_set_the_rate_limit(tmp_path):
    config = Place(tmp_path).load(ECHO, MLX_RATE_LIMIT_MAX="7", MLX_RATE_LIMIT_WINDOW="30")
    assert (config.rate_limit_max, config.rate_limit_window_s) == (7, 30.0)
    config = Place(tmp_path / "b").load(ECHO, MLX_RATE_LIMIT_MAX="7", WARDEN_RATE_LIMIT_MAX="0")
    assert config.rate_limit_max == 0, "ours wins; 0 is any number"


def test_sampling_settings_are_those_of_the_job_protocol():
    assert set(settings_of(SamplingSettings)) == set(Sampling.__struct_fields__) - {"seed"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_own_addresses_are_accepted(host):
    assert check(settings_of(Server)["host"], host) == host


@pytest.mark.parametrize(("host", "why"), [
    ("example.org", "not an address"), ("", "not an address"), ("[::1]", "not an address")])
def test_what_is_no_address_is_refused(host, why):
    with pytest.raises(ValueError, match=why):
        check(settings_of(Server)["host"], host)


@pytest.mark.parametrize("name", ["*", "http://a", "a:80", "", "a b", "a/b"])
def test_allowed_hosts_are_bare_names(name):
    with pytest.raises(ValueError, match="bare host name"):
        check(settings_of(Server)["allowed_hosts"], ["mac.local", name])


def test_a_pattern_that_lets_all_in_is_refused_with_its_place(tmp_path):
    line = Place(tmp_path).error(f'{ECHO}[server]\nallowed_origins = ["app://*", "*"]')
    assert line.startswith('warden.toml:4: server.allowed_origins: "*" would let every website use this server')
    config = Place(tmp_path / "b").load(ECHO, OLLAMA_ORIGINS="app://*, http://localhost:*")
    assert config.allowed_origins == ("app://*", "http://localhost:*")


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
