"""One real stack for each file of contract tests, under supervisord: `stack`; and where it listens: `base_url`.

`stack.home` is its home, `stack.journal(event, process="http")` and `stack.wait_journal` read a process's journal,
`stack.url` is `base_url`, `stack.post(path, body)` asks without any SDK; tests/support/live_stack.py has the rest. Its
models are those of tests/support/contract_stack.py: `guide`, `random`, `embedder`, `echo`.

The files share nothing, so that they may run beside each other (`-n 3 --dist loadfile`).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contract_stack import contract_settings
from tests.support.live_stack import LiveStack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    folder = tmp_path_factory.mktemp("contract")
    shared = LiveStack(folder, contract_settings(folder))
    try:
        yield shared.up()
    finally:
        shared.end()


@pytest.fixture(scope="module")
def base_url(stack: LiveStack) -> str:
    """http://127.0.0.1:PORT, without a slash at its end."""
    return stack.url
