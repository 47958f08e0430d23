"""The fixture that gives a test real stacks of its own, for every folder of tests that starts some."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.live_stack import LiveStack


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., LiveStack]]:
    """`make_stack(settings, name="a")` -> a LiveStack, not yet up. Ended with the test; logs are shown if it failed."""
    stacks: list[LiveStack] = []

    def make(settings: str, name: str = "a") -> LiveStack:
        stacks.append(LiveStack(tmp_path / name, settings))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.end()
