"""A real stack for contract tests, under supervisord: `stack`; and where it listens: `base_url`.

`stack.home` is its home, `stack.journal(event, process="http")` and `stack.wait_journal` read a process's journal,
`stack.url` is `base_url`, `stack.post(path, body)` asks without any SDK; tests/support/live_stack.py has the rest. Its
models are those of tests/support/contract_stack.py: `guide`, `random`, `embedder`, `echo`.

The files of tests/support/one_stack.py share one, which ends when a file that does not share is next: even a stack that
does nothing takes some of the processor's time. Every other file has its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contract_stack import contract_settings
from tests.support.live_stack import LiveStack
from tests.support.one_stack import shares

SHARED = pytest.StashKey[list[LiveStack]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or not shares(nextitem.nodeid):
        end_all(item.config.stash.get(SHARED, []))


def end_all(stacks: list[LiveStack]) -> None:
    while stacks:
        stacks.pop().end()


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Iterator[list[LiveStack]]:
    """The stack that files share, while there is one. It ends here if the tests are interrupted."""
    stacks = pytestconfig.stash.setdefault(SHARED, [])
    yield stacks
    end_all(stacks)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, shared: list[LiveStack],
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    stacks = shared if shares(request.node.nodeid) else []
    if not stacks:
        folder = tmp_path_factory.mktemp("contract")
        stacks.append(LiveStack(folder, contract_settings(folder)).up())
    yield stacks[0]
    if stacks is not shared:
        end_all(stacks)


@pytest.fixture(scope="module")
def base_url(stack: LiveStack) -> str:
    """http://127.0.0.1:PORT, without a slash at its end."""
    return stack.url
