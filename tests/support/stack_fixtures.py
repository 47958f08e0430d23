"""Real stacks for tests: `make_stack` for a test's own, `shared_stack` for one that a module's tests share."""

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


def shared_stack(settings: str) -> Callable[..., Iterator[LiveStack]]:
    """A fixture: one stack with these settings, up for all tests of the module, under the name it is assigned to."""
    @pytest.fixture(scope="module")
    def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
        shared = LiveStack(tmp_path_factory.mktemp("shared"), settings).up()
        yield shared
        shared.end()

    return stack


def echo_settings(*models: str, control: str = "", memory: str = "") -> str:
    """Settings of echo models by name, more of which may answer at once than usual, and callers ask as often as they
    like; no process is started early.

    `control` and `memory` are further lines of those sections.
    """
    limits = "[limits]\nmax_running = 8\nrate_limit_max = 0\n"
    tables = [f"[control]\nprewarm = 0\n{control}", limits, f"[memory]\n{memory}"]
    return "\n".join([*tables, *(f'[models.{name}]\nengine = "echo"\n' for name in models)])
