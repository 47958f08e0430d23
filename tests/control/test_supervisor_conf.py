"""The rendered supervisor.conf: the facts that DESIGN 1 relies on, read back by supervisord's own parser rules."""

import configparser
import importlib
import shlex
from pathlib import Path

import pytest

from control.config import Config, load_config
from control.home import Home
from control.supervisor_conf import (
    RenderRefused,
    child_environment,
    read_credentials,
    read_stop_wait_s,
    render,
    template_path,
)

HOME = Home(Path("/srv/warden home"))
PYTHON = "/opt/some python/bin/python3"
TEMPLATE = template_path().read_text()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def configured(folder: Path, server: str = "", control: str = "drain_deadline_s = 12.5", relays: str = "") -> Config:
    file = folder / "warden.toml"
    file.write_text(f"[server]\nport = 12345\n{server}\n[control]\n{control}\n[relays]\n{relays}\n"
                    '[models."Phi-3.5:mini"]\nengine = "echo"\n[models.b]\nengine = "echo"\n')
    return load_config({"WARDEN_CONFIG": str(file)}, folder)


def rendered(config: Config, home: Home = HOME, **environment: str) -> str:
    return render(config, home, PYTHON, TEMPLATE, password="secret", environment=environment)


def parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return parser


def test_the_same_arguments_give_the_same_text(config: Config) -> None:
    assert rendered(config, A="1") == rendered(config, A="1")


def test_every_placeholder_outside_of_comments_is_filled(config: Config) -> None:
    lines = [line for line in rendered(config).splitlines() if not line.startswith(";")]
    assert [line for line in lines if "$" in line] == []


def test_programs_and_their_commands(config: Config) -> None:
    conf = parsed(rendered(config))
    programs = [name for name in conf.sections() if "program:" in name]
    assert programs == ["program:control", "fcgi-program:http", "program:gateway", "program:worker-phi-3-5-mini",
                        "program:worker-b"]
    commands = [shlex.split(conf[name]["command"]) for name in programs]
    assert [command[:3] for command in commands] == [[PYTHON, "-P", "-m"]] * 5
    assert [command[3:] for command in commands] == [
        ["control"], ["gateway.http"], ["gateway"], ["workers", "phi-3-5-mini"], ["workers", "b"]]


def test_a_worker_is_never_started_by_supervisord_itself(config: Config) -> None:
    worker = parsed(rendered(config))["program:worker-b"]
    assert {key: worker[key] for key in ("autostart", "autorestart", "startsecs", "startretries", "exitcodes")} == {
        "autostart": "false", "autorestart": "false", "startsecs": "0", "startretries": "0", "exitcodes": "0"}
    assert worker["stopsignal"] == "TERM"
    assert worker["stopwaitsecs"] == "13", "the drain deadline, rounded up"


def test_there_is_a_program_for_each_relay_that_is_configured(tmp_path: Path) -> None:
    relays = {"ollama_url": "http://127.0.0.1:11434", "victoria_url": "https://h:8010/x"}
    for chosen in ((), ("ollama_url",), ("victoria_url",), tuple(relays)):
        conf = parsed(rendered(configured(tmp_path, relays="\n".join(f'{key} = "{relays[key]}"' for key in chosen))))
        programs = [name for name in conf.sections() if "program:relay-" in name]
        assert programs == [f"program:relay-{key.removesuffix('_url')}" for key in chosen]
        for name in programs:
            slug = name.removeprefix("program:")
            assert shlex.split(conf[name]["command"]) == [PYTHON, "-P", "-m", "workers", slug]
            assert conf[name]["stdout_logfile"] == f"/srv/warden home/logs/{slug}.log"


def test_a_relay_is_started_with_the_stack_comes_back_and_drains(tmp_path: Path) -> None:
    conf = parsed(rendered(configured(tmp_path, relays='ollama_url = "http://h"')))
    relay, worker = conf["program:relay-ollama"], conf["program:worker-b"]
    assert {key: relay[key] for key in ("autostart", "autorestart", "exitcodes", "stopsignal")} == {
        "autostart": "true", "autorestart": "unexpected", "exitcodes": "2", "stopsignal": "TERM"}
    assert relay["stopwaitsecs"] == worker["stopwaitsecs"] == "13", "its answers are finished, as a worker's are"
    assert relay["priority"] == worker["priority"], "it ends before the gateway that delivers its answers"
    assert "h" not in relay["command"].split(), "the URL is read from the configuration"


def test_the_others_come_back_but_not_with_a_refused_configuration(config: Config) -> None:
    conf = parsed(rendered(config))
    for name in ("program:control", "program:gateway", "fcgi-program:http"):
        assert conf[name]["autostart"] == "true"
        assert conf[name]["autorestart"] == "unexpected"
        assert conf[name]["exitcodes"] == "2"


def test_workers_stop_first_and_control_last(config: Config) -> None:
    conf = parsed(rendered(config))
    programs = [name for name in conf.sections() if "program:" in name]
    order = sorted(programs, key=lambda name: -conf[name].getint("priority"))
    assert [name.split(":")[1] for name in order] == ["worker-phi-3-5-mini", "worker-b", "gateway", "http", "control"]


def test_the_socket_is_private_and_there_is_no_other(config: Config) -> None:
    conf = parsed(rendered(config))
    assert "inet_http_server" not in conf
    assert conf["unix_http_server"]["chmod"] == "0700"
    assert conf["unix_http_server"]["password"] == conf["supervisorctl"]["password"] == "secret"
    assert conf["unix_http_server"]["file"] == "/srv/warden home/run/supervisor.sock"
    assert conf["supervisorctl"]["serverurl"] == "unix:///srv/warden home/run/supervisor.sock"
    assert conf["supervisord"]["umask"] == "077"


def test_supervisorctl_gets_the_verbs_for_models(config: Config) -> None:
    plugin = parsed(rendered(config))["ctlplugin:warden"]
    assert dict(plugin) == {"supervisor.ctl_factory": "control.ctl_plugin:make_plugin", "home": "/srv/warden home"}
    module, _, factory = plugin["supervisor.ctl_factory"].partition(":")
    assert callable(getattr(importlib.import_module(module), factory))


def test_every_log_lies_in_the_home_and_is_rotated(config: Config) -> None:
    conf = parsed(rendered(config))
    for name in conf.sections():
        if "program:" in name:
            assert conf[name]["stdout_logfile"] == f"/srv/warden home/logs/{name.split(':')[1]}.log"
            assert conf[name]["stdout_logfile_maxbytes"] == "10MB"
            assert conf[name]["stdout_logfile_backups"] == "3"
            assert conf[name]["redirect_stderr"] == "true"


def test_several_http_processes_share_one_socket(tmp_path: Path) -> None:
    http = parsed(rendered(configured(tmp_path, "http_processes = 3")))["fcgi-program:http"]
    assert http["socket"] == "tcp://127.0.0.1:12345"
    assert http["numprocs"] == "3"
    assert http["process_name"] == "http-%(process_num)s"
    assert http["stdout_logfile"].endswith("/http-%(process_num)s.log")


def test_what_supervisord_cannot_hold_is_refused_in_one_line(tmp_path: Path, config: Config) -> None:
    with pytest.raises(RenderRefused, match="IPv6"):
        rendered(configured(tmp_path, 'host = "::1"'))
    for root in ("/srv/100%", "/srv/a;b", "/srv/it's", "/srv/new\nline"):
        with pytest.raises(RenderRefused) as refused:
            rendered(config, Home(Path(root)))
        assert "\n" not in str(refused.value)


def test_a_template_that_asks_for_more_than_is_filled_is_refused(config: Config) -> None:
    with pytest.raises(RenderRefused, match="surprise"):
        render(config, HOME, PYTHON, f"[x]\ny=${{surprise}}\n{TEMPLATE}", password="p", environment={})
    for template, section in (("[supervisord]\n", "relay"), ("[program:${relay}]\n", "worker")):
        with pytest.raises(RenderRefused, match=section):
            render(config, HOME, PYTHON, template, password="p", environment={})


def test_children_are_told_what_was_set_at_up() -> None:
    env = {"WARDEN_PORT": "12000", "OLLAMA_MAX_QUEUE": "9", "MLX_MAX_CONCURRENT": "3", "HF_HOME": "cache",
           "PATH": "/bin", "WARDEN_HOME": "relative", "WARDEN_MODELS_DIR": "~/models"}
    told = child_environment(env, Path("/work"), HOME, Path("/etc/warden.toml"))
    told.pop("PYTHONPATH")
    assert told == {
        "WARDEN_HOME": "/srv/warden home", "WARDEN_CONFIG": "/etc/warden.toml", "WARDEN_PORT": "12000",
        "OLLAMA_MAX_QUEUE": "9", "MLX_MAX_CONCURRENT": "3", "HF_HOME": "/work/cache", "WARDEN_MODELS_DIR": "~/models"}
    assert "WARDEN_CONFIG" not in child_environment({}, Path("/work"), HOME, None)


@pytest.mark.parametrize(("key", "value"), [
    ("HF_TOKEN", "hf_abc"), ("WARDEN_API_KEY", "k"), ("OLLAMA_ORIGINS", 'http://a,"b"'), ("HF_ENDPOINT", "x/%20"),
    ("MLX_A", "two\nlines"), ("OLLAMA_B", "a ;b"), ("WARDEN_OLLAMA_URL", "http://h/%20"), ("OLLAMA_KEY", "k"),
])
def test_secrets_and_what_the_format_would_misread_stay_out_of_the_file(key: str, value: str) -> None:
    assert key not in child_environment({key: value}, Path("/work"), HOME, None)


def test_settings_about_keys_are_no_secrets_and_reach_every_process() -> None:
    env = {"WARDEN_REQUIRE_KEY": "true", "WARDEN_OLLAMA_KEY_FILE": "keys/ollama", "WARDEN_VICTORIA_KEY_FILE": "/k",
           "MLX_RATE_LIMIT_MAX": "7", "MLX_RATE_LIMIT_WINDOW": "30"}
    told = child_environment(env, Path("/work"), HOME, None)
    assert {key: told[key] for key in env} == env | {"WARDEN_OLLAMA_KEY_FILE": "/work/keys/ollama"}


def test_environment_values_are_quoted(config: Config) -> None:
    line = parsed(rendered(config, WARDEN_ALLOWED_HOSTS="a, b", WARDEN_PORT="1"))["supervisord"]["environment"]
    assert line == 'WARDEN_ALLOWED_HOSTS="a, b",WARDEN_PORT="1"'


def test_credentials_and_stop_waits_are_read_back(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "supervisor.conf"
    assert read_credentials(file) is None
    assert read_stop_wait_s(file) == 0
    file.write_text(rendered(config))
    assert read_credentials(file) == ("warden", "secret")
    assert read_stop_wait_s(file) == 13 + 15 + 30 + 30, "workers together, the others one after another"
    file.write_text(rendered(configured(tmp_path, relays='ollama_url = "http://h"\nvictoria_url = "http://v"')))
    assert read_stop_wait_s(file) == 13 + 15 + 30 + 30, "relays are told together with the workers"
    file.write_text("[unix_http_server")
    assert read_credentials(file) is None
