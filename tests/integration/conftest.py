"""Real stacks for tests: `make_stack` for one of the test's own, `stack` one with a real model for reading tests."""

from collections.abc import Iterator

import pytest

from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.relay_fixtures import ollama, victoria
from tests.support.stack_fixtures import make_stack

__all__ = ["make_stack", "ollama", "stack", "victoria"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack with a small random-weight MLX model, shared by the tests of a file that only ask. It ends with them:
    even a stack that does nothing takes a twentieth of a processor.
    """
    shared = LiveStack(tmp_path_factory.mktemp("stack"), f"""
[models.tiny]
path = "{model_path("1m")}"
aliases = ["tiny-alias"]
[models.echo]
engine = "echo"
""").up()
    yield shared
    shared.end()
