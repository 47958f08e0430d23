"""Real stacks for tests: `make_stack` for one of the test's own, `stack` one with a real model for reading tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.live_stack import LiveStack
from tests.support.models import model_path


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


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack with a small random-weight MLX model, shared by tests that only ask."""
    shared = LiveStack(tmp_path_factory.mktemp("stack"), f"""
[models.tiny]
path = "{model_path("1m")}"
aliases = ["tiny-alias"]
[models.echo]
engine = "echo"
""").up()
    yield shared
    shared.end()
