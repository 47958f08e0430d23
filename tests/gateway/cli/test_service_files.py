"""The files of services: what stands in them, whatever a path holds, and what their own tools say of them."""

import hashlib
import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.service_files import (
    COMMAND,
    LABEL_PREFIX,
    NAME,
    Service,
    ServiceRefused,
    choose_environment,
    is_ours,
    label_of,
    name_of,
    plist_bytes,
    python_of,
    unit_text,
)

ODD = 'a b 100% $HOME "q" \\ \'s\' ;# ü'
SERVICE = Service("/home/me/.warden", "/opt/my py/bin/python", {"WARDEN_HOME": "/home/me/.warden", "ODD": ODD}, 720)
VERIFY_MAX_S = 60


def unquoted(word: str) -> str:
    """What systemd makes of a word in double quotes: escapes first, then %% (systemd.syntax(7), systemd.unit(5))."""
    assert word.startswith('"') and word.endswith('"') and not re.search(r'(?<!\\)(?:\\\\)*"', word[1:-1])
    text = re.sub(r"\\(.)", r"\1", word[1:-1])
    assert "%" not in text.replace("%%", "")
    return text.replace("%%", "%")


def test_a_unit_starts_supervisord_in_the_foreground_with_the_whole_environment() -> None:
    lines = unit_text(SERVICE).splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith(("#", "Environment")))
    assert values["ExecStart"] == '"/opt/my py/bin/python" -P -m gateway.cli.main service run'
    assert values["ExecStop"] == '"/opt/my py/bin/python" -P -m gateway.cli.main service stop'
    assert (values["Restart"], values["Type"], values["TimeoutStopSec"]) == ("on-failure", "exec", "720")
    assert (values["OOMPolicy"], values["WantedBy"]) == ("continue", "default.target")
    variables = [unquoted(line.split("=", 1)[1]) for line in lines if line.startswith("Environment=")]
    assert variables == [f"ODD={ODD}", "WARDEN_HOME=/home/me/.warden"]


def test_an_agent_is_a_plist_that_says_the_same() -> None:
    said = plistlib.loads(plist_bytes(SERVICE))
    assert said["ProgramArguments"] == ["/opt/my py/bin/python", "-P", "-m", "gateway.cli.main", *COMMAND]
    assert said["EnvironmentVariables"] == SERVICE.environment and said["Label"] == LABEL_PREFIX + NAME
    assert said["RunAtLoad"] is True and said["KeepAlive"] == {"SuccessfulExit": False} and said["ExitTimeOut"] == 720
    assert said["StandardErrorPath"] == "/home/me/.warden/logs/service.log" and said["Umask"] == 0o077


@pytest.mark.parametrize("data", [unit_text(SERVICE).encode(), plist_bytes(SERVICE)])
def test_a_file_of_ours_is_known_and_no_other(data: bytes) -> None:
    assert is_ours(data, SERVICE.home) and not is_ours(data, "/home/me/.ward")
    assert not is_ours(b"# mine\n" + data, SERVICE.home) and python_of(data) == SERVICE.python


@pytest.mark.parametrize("data", [b"", b"nonsense", b"<?xml", b"<plist><array/></plist>", b"bplist00xx", b"[Unit]\n"])
def test_anything_else_is_foreign(data: bytes) -> None:
    assert not is_ours(data, SERVICE.home) and python_of(data) == ""


@pytest.mark.parametrize("changes", [{"python": "/a\nb"}, {"home": "/a\x00"}, {"python": "/a\u2028b"}])
def test_what_no_file_can_hold_is_refused_with_a_remedy(changes: dict) -> None:
    for make in (unit_text, plist_bytes):
        with pytest.raises(ServiceRefused, match="choose another path"):
            make(SERVICE._replace(**changes))


@pytest.mark.parametrize("character", list("$'\"\\"))
def test_characters_that_systemd_takes_in_no_programs_path_are_refused(character: str) -> None:
    with pytest.raises(ServiceRefused, match="another path"):
        unit_text(SERVICE._replace(python=f"/a/{character}b"))


def test_each_home_has_a_name_of_its_own() -> None:
    digest = hashlib.sha256(b"/home/me/My Work!").hexdigest()[:8]
    assert name_of("/home/me/.warden", True) == NAME
    assert name_of("/home/me/My Work!", False) == f"{NAME}-my-work-{digest}"
    assert name_of("/a/x", False) != name_of("/b/x", False) and re.fullmatch(r"[a-z0-9-]+", name_of("/ü", False))
    assert label_of("/a/x", False).startswith(LABEL_PREFIX)


def test_the_environment_has_what_counts_and_no_secret() -> None:
    env = {"PATH": "/bin", "HF_HOME": "/hf", "HF_TOKEN": "hf_x", "WARDEN_REQUIRE_KEY": "1", "WARDEN_KEY": "warden-1",
           "EDITOR": "vi", "HTTPS_PROXY": "http://me:secret@proxy", "no_proxy": "a", "MLX_EMPTY": "", "HF_X": "a\nb",
           "OLLAMA_ODD": "a;b"}
    told = {"WARDEN_HOME": "/h", "WARDEN_REQUIRE_KEY": "1"}
    environment, secret = choose_environment(env, told)
    assert environment == told | {"PATH": "/bin", "HF_HOME": "/hf", "no_proxy": "a", "OLLAMA_ODD": "a;b"}
    assert secret == ["HF_TOKEN", "WARDEN_KEY"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_systemd_itself_finds_nothing_wrong_with_a_unit(tmp_path: Path) -> None:
    unit = tmp_path / "mlx-warden-test.service"
    folder = tmp_path / "a b 100% ü"
    folder.mkdir()
    (folder / "python").symlink_to("/bin/sh")
    verify = ["systemd-analyze", "--user", "verify", str(unit)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    for text, is_right in ((unit_text(SERVICE._replace(python=str(folder / "python"), home=str(folder))), True),
                           (unit_text(SERVICE._replace(python=str(folder / "gone"))), False)):
        unit.write_text(text)
        ran = subprocess.run(verify, env=env, capture_output=True, text=True, timeout=VERIFY_MAX_S, check=False)
        if "Failed to initialize manager" in ran.stderr:
            pytest.skip(f"systemd-analyze cannot work here: {ran.stderr}")
        assert (ran.returncode == 0 and ran.stderr == "") is is_right, ran


@pytest.mark.skipif(not shutil.which("plutil"), reason="plutil is on macOS only; plistlib reads the agent back above")
def test_plutil_finds_nothing_wrong_with_an_agent(tmp_path: Path) -> None:
    (tmp_path / "x.plist").write_bytes(plist_bytes(SERVICE))
    subprocess.run(["plutil", "-lint", str(tmp_path / "x.plist")], check=True, timeout=VERIFY_MAX_S)
