"""Every line that the README tells people to paste is run: here, or by the test that is named here.

Blocks are run as they stand, but for the port and the directory of the virtual environment. What is not at hand where
this was made (docker, Claude Code, aider) is told so in the README.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from control.config import load_config
from tests.support import readme
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import ROOT
from tests.support.terminal import CTRL_D, Terminal

README = readme.text_of("README.md")
CLIENTS = README.partition("<!-- clients: begin -->")[2].partition("<!-- clients: end -->")[0]
KEYS, ON_A_TERMINAL = "key create", "warden top"
RUN_BY = {  # how a command begins -> the tests that run it
    "make run": "tests/integration/test_built_in_model.py",
    "make test": ".ci/run",
    ".venv/bin/python -m bench throughput": "tests/integration/test_bench.py",
    ".venv/bin/python -m bench overhead": "tests/integration/test_bench.py",
    ".venv/bin/python -m bench latency": "tests/integration/test_bench.py",
    ".venv/bin/python -m bench eviction": "tests/integration/test_eviction_race.py",
    ".venv/bin/python -m bench swap": "tests/integration/test_readme_lines.py",  # below, in make test-long
    ".venv/bin/python -m bench memory": "tests/integration/test_readme_lines.py",
    ".venv/bin/python -m bench priority": "tests/integration/test_readme_lines.py",
    ".venv/bin/python -m bench turns": "tests/integration/test_readme_lines.py",
    ".venv/bin/python -m bench prefill": "tests/integration/test_readme_lines.py",
    ".venv/bin/python -m bench coldstart": "tests/integration/test_readme_lines.py",
    ".venv/bin/python -m bench scaling": "tests/integration/test_readme_lines.py",
    ".venv/bin/python -m bench compare": "tests/bench/test_compare.py",
    "make bench-all": "tests/bench/test_all.py",
}
COMMAND_MAX_S = 60
SHORTER = {"swap": ["--seconds", "12", "--clients", "2", "--residency", "2", "--grace", "1"],
           "priority": ["--rounds", "1", "--requests", "4", "--queued", "8", "--cases", "one model"],
           "turns": ["--rounds", "1", "--prompt-tokens", "200", "--tokens", "8"],
           "prefill": ["--rounds", "1", "--prompt-tokens", "300"], "coldstart": ["--rounds", "1", "--model", "1m"],
           "scaling": ["--rounds", "1", "--streams", "20", "--hold", "1", "--decisions", "500"],
           "memory": ["--requests", "4", "--sequences", "2", "--prompt-chars", "600", "--max-tokens", "8"]}

pytestmark = pytest.mark.integration


def commands(block: str) -> list[str]:
    """The lines of a block, continued ones joined, without remarks."""
    joined = re.sub(r"\\\n\s*", "", block)
    return [line for line in (re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()) if line]


def block_with(text: str) -> str:
    [block] = [block for block in readme.blocks(README, "sh") if text in block]
    return block


def here(command: str) -> bool:
    return command in commands(block_with(KEYS)) or command in commands(block_with(ON_A_TERMINAL))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """With the model that the lines name, which is loaded for nobody here."""
    shared = LiveStack(tmp_path_factory.mktemp("stack"), '[models.guide]\npath = "guide"\n')
    try:
        yield shared.up()
    finally:
        shared.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with `.venv/bin/warden`, as after `make run`."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program = tmp_path / ".venv" / "bin" / "warden"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m gateway.cli.main "$@"\n')
    program.chmod(0o755)
    return tmp_path


def test_each_command_is_run_somewhere() -> None:
    pasted = [command for block in readme.blocks(README, "sh") if block not in CLIENTS for command in commands(block)]
    for command in pasted:
        tests = [path for start, path in RUN_BY.items() if command.startswith(start)]
        assert here(command) or tests, f"the README says `{command}`, and no test runs it"
        for path in tests:
            assert (ROOT / path).exists()
    unused = [start for start in RUN_BY if not any(command.startswith(start) for command in pasted)]
    assert not unused, "the README does not say these any more"


@pytest.mark.long
@pytest.mark.parametrize("bench", SHORTER)
def test_benches_that_no_other_test_runs(bench: str, tmp_path: Path) -> None:
    """With fewer requests than the README's line."""
    command = [sys.executable, "-m", "bench", bench, *SHORTER[bench], "--json", str(tmp_path / "figures.json")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_MAX_S * 3)
    assert ran.returncode == 0 and (tmp_path / "figures.json").exists(), ran.stdout + ran.stderr


def test_keys_are_made_and_used_as_the_readme_says(stack, folder: Path) -> None:
    script = block_with(KEYS).replace("127.0.0.1:11435", stack.url.removeprefix("http://"))
    ran = subprocess.run(["bash", "-eu", "-c", script], env=stack.env, cwd=folder, capture_output=True, text=True,
                         timeout=COMMAND_MAX_S)
    assert ran.returncode == 0 and '"object":"list"' in ran.stdout.replace(" ", ""), ran.stderr


def test_the_commands_for_a_terminal_show_what_they_should(stack, folder: Path) -> None:
    seen = {"run": (">>>", CTRL_D), "top": ("Decisions", "q"), "doctor": ("as they should be", "")}
    for command in commands(block_with(ON_A_TERMINAL)):
        text, keys = seen.pop(command.split()[-1])
        with Terminal([], stack.env, cwd=folder, command=["bash", "-c", command]) as terminal:
            terminal.wait(text)
            if keys:
                terminal.type(keys)
            assert terminal.end() in (0, 1)  # the doctor may find something on this very machine
    assert not seen


def test_configurations_of_the_readme_are_read_as_they_stand(tmp_path: Path) -> None:
    blocks = readme.blocks(README, "toml")
    assert blocks
    for number, block in enumerate(blocks):
        tables = tomllib.loads(block)
        file = tmp_path / f"{number}.toml"
        file.write_text(block if "models" in tables else f'{block}\n[models.echo]\nengine = "echo"\n')
        config = load_config({"WARDEN_CONFIG": str(file), "HOME": os.environ["HOME"]}, tmp_path,
                             models_must_be_whole=False)
        assert config.source == str(file)


def test_the_scrape_configuration_names_our_address() -> None:
    [block] = [block for block in readme.blocks(README, "yaml") if "scrape_configs" in block]
    [job] = yaml.safe_load(block)["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:11435"]}]
