"""What the README says is there is there: its example, its commands, its links, and a line for every file.

The example runs here against a stand-in that decodes with the gateway's own codec;
tests/integration/test_readme_example.py runs it against a real stack.
"""

import ast
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zmq

from gateway import protocol
from tests.support import readme

EXAMPLE_MAX_LINES = 15
STEP_MAX_MS = 20_000
PAGES = ("README.md", "CHANGELOG.md", "SECURITY.md", "control/DESIGN.md")


@pytest.fixture
def short_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose socket paths are short enough for any system."""
    home = tmp_path_factory.mktemp("h")
    (home / "run").mkdir(mode=0o700)
    return home


def test_the_example_is_short_and_needs_two_packages_only() -> None:
    example = readme.plain_example()
    assert len(example.splitlines()) <= EXAMPLE_MAX_LINES
    imported = {alias.name for node in ast.walk(ast.parse(example))
                if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    assert imported == {"os", "msgpack", "zmq"}


def test_the_example_prints_the_text_of_tokens_until_done(short_home: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as gateway:
        gateway.linger = 0
        gateway.bind(f"ipc://{short_home}/run/clients.ipc")
        with subprocess.Popen([sys.executable, "-c", readme.plain_example()], stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"WARDEN_HOME": str(short_home)}) as example:
            try:
                assert gateway.poll(STEP_MAX_MS), "the example sent nothing"
                identity, frame = gateway.recv_multipart()
                submit = protocol.decode_from_client(frame)
                assert isinstance(submit, protocol.Submit)
                for event in answer_to(submit):
                    gateway.send_multipart([identity, protocol.encode(event)])
                printed, _ = example.communicate(timeout=STEP_MAX_MS / 1000)
            finally:
                example.kill()
    assert example.returncode == 0
    assert printed.startswith("Hello, wörld")


def answer_to(submit: protocol.Submit) -> list[msgspec.Struct]:
    usage, timings = protocol.Usage(3, 2), protocol.Timings(0, 0, 1, 1, 2)
    return [
        protocol.Accepted(submit.id, 1, "m", "medium", 0),
        protocol.Progress(submit.id, 0, "loading", 1.0, 0.5),
        protocol.Tokens(submit.id, 0, [5], "Hello, "),
        protocol.Tokens(submit.id, 1, [6], "wörld"),
        protocol.Done(submit.id, "stop", "m", usage, timings, "medium"),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = readme.text_of(page)
    for target in readme.links(text):
        path, _, anchor = target.partition("#")
        if path.startswith(("https://", "http://")):
            continue
        file = (readme.ROOT / page).parent / path if path else readme.ROOT / page
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), f"{page} links to {target}"


def anchors(text: str) -> set[str]:
    """The names that headings of a Markdown page can be linked by."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_tour_has_a_line_for_every_file_and_for_nothing_else() -> None:
    named = set(re.findall(r"^\| `([\w./]+)` \|", readme.section(readme.text_of("README.md"), "Tour of the code"),
                           re.MULTILINE))
    there = {path.relative_to(readme.ROOT).as_posix()
             for package in ("control", "workers", "gateway", "bench")
             for path in (readme.ROOT / package).rglob("*")
             if path.is_file() and path.name != "__init__.py" and path.suffix != ".pyc"}
    folders = tuple(name for name in named if name.endswith("/"))  # one line for a folder of data
    lacking = {name for name in there - named if name.endswith(".py") or not name.startswith(folders)}
    assert sorted(lacking) == [], "files without a line in the tour"
    assert sorted(name for name in named - there if not (readme.ROOT / name).exists()) == [], "lines without a file"


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = readme.text_of("Makefile")
    for command in re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", readme.text_of("README.md"), re.MULTILINE):
        target = next(filter(None, command))
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    ci = readme.ROOT / ".ci/run"
    assert ci.stat().st_mode & stat.S_IXUSR
    assert ci.read_text("utf-8").rstrip().endswith("\nmake test")
    assert re.search(r"^make test\b", readme.text_of("README.md"), re.MULTILINE)
