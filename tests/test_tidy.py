"""The rules of the house, checked on the tree; and each rule checked on a few lines that break it.

`EXAMPLES` gives, for every rule, files that break it and much the same files that keep it. A rule without an example
fails, so that no rule can rot into one that finds nothing. The rules stand in tests/support/tidy_rules.py and
tidy_imports.py.
"""

from pathlib import Path

import pytest

from tests.support import tidy_imports, tidy_rules
from tests.support.tidy import Rule, Source, read_tree

ROOT = Path(__file__).resolve().parents[1]

PROJECT = '[project]\ndependencies = ["pyzmq>=27"]\n[project.scripts]\nwarden = "gateway.cli.main:main"\n'
BROAD_WITH_REASON = "try:\n    f()\nexcept Exception:  # a plugin may raise anything\n    pass\n"
LONG_FUNCTION = "def f():\n" + "    x = 1\n" * 50
MEASURED = "import time\nt0 = time.monotonic()\nf()\nspent = time.monotonic() - t0\n"
Files = dict[str, str]

# rule, what breaks it, what keeps it
EXAMPLES: list[tuple[Rule, Files, Files]] = [
    (tidy_imports.import_direction,
     {"control/x.py": "from gateway import client"}, {"control/x.py": "from control import table"}),
    (tidy_imports.import_direction,
     {"workers/x.py": "import control.supervisord"}, {"workers/x.py": "import control.table"}),
    (tidy_imports.import_direction,
     {"gateway/x.py": "import gateway.http.app"}, {"gateway/http/x.py": "import gateway.client"}),
    (tidy_imports.import_direction,
     {"gateway/http/x.py": "def f():\n    from control.supervisord import render"},
     {"gateway/cli/x.py": "from control.supervisord import render"}),
    (tidy_imports.import_direction,
     {"bench/x.py": "import gateway.dispatcher"}, {"bench/x.py": "import gateway.admission"}),
    (tidy_imports.import_direction,
     {"control/x.py": "from tests.support import fake"}, {"tests/x.py": "from tests.support import fake"}),
    (tidy_imports.third_party_confined,
     {"workers/runtime.py": "import mlx.core"}, {"workers/mlx_engine.py": "import mlx.core"}),
    (tidy_imports.third_party_confined,
     {"gateway/x.py": "from psutil import Process"}, {"control/process_facts.py": "from psutil import Process"}),
    (tidy_imports.third_party_confined,
     {"gateway/dispatcher.py": "import starlette.routing"}, {"gateway/http/app.py": "import starlette.routing"}),
    (tidy_imports.import_cycles,
     {"control/a.py": "import control.b", "control/b.py": "def f():\n    from control import a"},
     {"control/a.py": "import control.b", "control/b.py": "import control.c", "control/c.py": ""}),
    (tidy_imports.import_cycles,
     {"control/a.py": "from . import b", "control/b.py": "from .a import f"},
     {"control/a.py": "from . import b", "control/b.py": "if TYPE_CHECKING:\n    from .a import f"}),
    (tidy_imports.purity, {"gateway/admission.py": "import time"}, {"gateway/admission.py": "import heapq"}),
    (tidy_imports.purity,
     {"control/states.py": "import os\nA = os.environ"}, {"control/home.py": "import os\nA = os.environ"}),
    (tidy_imports.purity, {"control/routing.py": "text = open('x')"}, {"control/config.py": "text = open('x')"}),
    (tidy_imports.purity, {"control/config.py": "path.write_text('')"}, {"control/config.py": "path.read_text()"}),
    (tidy_imports.purity, {"workers/text.py": "from pathlib import Path\nPath.cwd()"}, {"workers/text.py": "x = 1"}),
    (tidy_imports.purity,
     {"gateway/fairness.py": "from control import journal", "control/journal.py": ""},
     {"gateway/fairness.py": "if TYPE_CHECKING:\n    from control import table", "control/table.py": ""}),
    (tidy_imports.purity,
     {"gateway/gate.py": '"""Shut or open.\n\nPure: facts come in."""\nfrom control.table import Table'},
     {"gateway/gate.py": '"""Shut or open.\n\nPure: facts come in."""\nfrom control.table import RowControl'}),
    (tidy_imports.no_pickle, {"tests/x.py": "from pickle import loads"}, {"tests/x.py": "from json import loads"}),
    (tidy_imports.no_pickle, {"gateway/x.py": "socket.recv_pyobj()"}, {"gateway/x.py": "socket.recv()"}),
    (tidy_imports.dependencies,
     {"pyproject.toml": PROJECT, "gateway/x.py": "import zmq\nimport numpy"},
     {"pyproject.toml": PROJECT, "gateway/x.py": "import zmq"}),
    (tidy_imports.dependencies,
     {"pyproject.toml": PROJECT, "gateway/x.py": "import json"},
     {"pyproject.toml": PROJECT, "gateway/x.py": "from zmq import asyncio"}),
    (tidy_imports.dead_modules,
     {"pyproject.toml": PROJECT, "control/x.py": "", "tests/test_x.py": "import control.x"},
     {"pyproject.toml": PROJECT, "control/x.py": "", "gateway/cli/main.py": "from control import x"}),
    (tidy_imports.dead_modules,
     {"control/ctl.py": ""}, {"control/ctl.py": "", "supervisor.conf": "supervisor.ctl_factory = control.ctl:make"}),
    (tidy_imports.dead_modules,
     {"workers/made.py": ""}, {"workers/made.py": "", "Makefile": "run:\n\tpython -m workers.made DIR"}),
    (tidy_imports.dead_modules,
     {"workers/made.py": ""}, {"workers/made.py": "", "gateway/__init__.py": 'call = ["-m", "workers.made"]'}),
    (tidy_rules.file_size, {"control/x.py": "\n" * 301}, {"control/x.py": "\n" * 300}),
    (tidy_rules.file_size, {"gateway/http/pages/x.js": "x" * 121}, {"gateway/http/pages/x.js": "x" * 120}),
    (tidy_rules.file_median, {"control/x.py": "\n" * 131}, {"control/x.py": "\n" * 200, "control/y.py": ""}),
    (tidy_rules.function_length, {"tests/x.py": LONG_FUNCTION}, {"tests/x.py": LONG_FUNCTION[:-10]}),
    (tidy_rules.broad_excepts,
     {"control/x.py": "try:\n    f()\nexcept:\n    pass"}, {"control/x.py": BROAD_WITH_REASON}),
    (tidy_rules.broad_excepts,
     {"control/x.py": "try:\n    f()\nexcept (OSError, Exception):\n    pass"},
     {"control/x.py": "try:\n    f()\nexcept OSError:\n    pass"}),
    (tidy_rules.broad_excepts,
     {"control/x.py": "with contextlib.suppress(Exception): f()"}, {"tests/x.py": "with suppress(Exception): f()"}),
    (tidy_rules.broad_excepts,
     {"control/x.py": BROAD_WITH_REASON * 5}, {"control/x.py": BROAD_WITH_REASON * 4}),
    (tidy_rules.file_names, {"gateway/utils.py": ""}, {"gateway/utilisation.py": ""}),
    (tidy_rules.file_names, {"gateway/common/x.py": ""}, {"gateway/cli/x.py": ""}),
    (tidy_rules.docstrings, {"control/x.py": "x = 1"}, {"control/x.py": '"""Says what it decides."""'}),
    (tidy_rules.no_pack_into, {"tests/x.py": "struct.pack_into('Q', b, 0, 1)"}, {"tests/x.py": "struct.pack('Q', 1)"}),
    (tidy_rules.no_pack_into,
     {"control/x.py": "from struct import pack_into"}, {"control/x.py": "from struct import pack"}),
    (tidy_rules.table_read_only,
     {"gateway/http/x.py": "table.writer(GatewayWords)"}, {"gateway/x.py": "table.writer(GatewayWords)"}),
    (tidy_rules.table_read_only, {"gateway/x.py": "Table.create(path, 1)"}, {"control/x.py": "Table.create(path, 1)"}),
    (tidy_rules.unfinished, {"gateway/x.py": "x = 1  # TODO"}, {"gateway/x.py": "TODOS = 1"}),
    (tidy_rules.unfinished, {"gateway/x.py": "raise NotImplementedError"}, {"gateway/x.py": "raise ValueError"}),
    (tidy_rules.units, {"control/x.py": "LOAD_TIMEOUT = 5"}, {"control/x.py": "LOAD_TIMEOUT_S = 5"}),
    (tidy_rules.units, {"control/x.py": "WAIT_MAX_TIME = 60 * 5"}, {"control/x.py": "WAIT_MAX_S = 60 * 5"}),
    (tidy_rules.units, {"control/x.py": "def f(timeout): ..."}, {"control/x.py": "def f(timeout_s): ..."}),
    (tidy_rules.units, {"control/x.py": "q = Queue(maxsize=5)"}, {"control/x.py": "q = Queue(maxsize=QUEUE_MAX)"}),
    (tidy_rules.tests_mirror,
     {"control/x.py": "\n" * 60}, {"control/x.py": "\n" * 60, "tests/control/test_x_races.py": ""}),
    (tidy_rules.tests_mirror, {"tests/control/test_gone.py": ""}, {"tests/integration/test_gone.py": ""}),
    (tidy_rules.tests_mirror,
     {"control/x.py": "\n" * 60, "control/x_y.py": "\n" * 60, "tests/control/test_x_y.py": ""},
     {"control/x.py": "\n" * 60, "control/x_y.py": "\n" * 59, "tests/control/test_x.py": ""}),
    (tidy_rules.no_bare_sleep,
     {"tests/x.py": "time.sleep(1)"}, {"tests/x.py": "while waiting():\n    time.sleep(0.01)"}),
    (tidy_rules.no_bare_sleep,
     {"tests/x.py": "async def f():\n    await asyncio.sleep(0.1)"},
     {"tests/x.py": "async def f():\n    await asyncio.sleep(0)"}),
    (tidy_rules.no_asserted_timing,
     {"tests/x.py": MEASURED + "assert spent < 1"}, {"tests/x.py": MEASURED + "print(spent)"}),
    (tidy_rules.no_asserted_timing,
     {"tests/x.py": "assert time.monotonic() - t0 < 1"}, {"tests/x.py": "assert time.monotonic() < deadline"}),
    (tidy_rules.no_mocks,
     {"tests/x.py": "from unittest.mock import Mock"}, {"tests/x.py": "from unittest import case"}),
    (tidy_rules.no_mocks,
     {"tests/x.py": "monkeypatch.setattr(time, 'monotonic', f)"}, {"tests/x.py": "monkeypatch.setenv('HOME', p)"}),
]


def sources_of(files: Files) -> list[Source]:
    return [Source(path, text) for path, text in files.items()]


@pytest.fixture(scope="module")
def tree() -> list[Source]:
    return read_tree(ROOT)


@pytest.mark.parametrize("rule", tidy_rules.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule, tree: list[Source]) -> None:
    violations = list(rule(tree))
    if violations:
        pytest.fail("\n".join([f"{len(violations)} violation(s) of {rule.__name__}:", *violations]), pytrace=False)


@pytest.mark.parametrize(("rule", "bad", "good"), EXAMPLES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rule_tells_bad_from_good(rule: Rule, bad: Files, good: Files) -> None:
    assert list(rule(sources_of(bad)))
    assert list(rule(sources_of(good))) == []


def test_every_rule_is_listed_and_shown_to_fail() -> None:
    assert {rule for rule, _, _ in EXAMPLES} == set(tidy_rules.RULES)


def test_a_violation_names_file_line_and_remedy() -> None:
    [violation] = tidy_imports.purity(sources_of({"gateway/admission.py": "import heapq\nimport time"}))
    assert violation == "gateway/admission.py:2: a pure module imports time; take what it gives as an argument"


def test_the_tree_is_really_read(tree: list[Source]) -> None:
    paths = {source.path for source in tree}
    assert {"pyproject.toml", "control/states.py", "gateway/protocol.py", "tests/test_tidy.py"} <= paths
