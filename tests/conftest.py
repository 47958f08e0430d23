"""What holds for every test: no setting leaks in from the caller's environment, and property tests are repeatable.

Hypothesis runs a fixed set of examples without a time limit per example, so that a slow machine or an unlucky draw
never turns a run red; `make test-long` searches with fresh draws and many more of them (profile "long").
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.support.one_stack import OneStackScheduling, shares

TESTS = Path(__file__).parent
SETTINGS_OF_OTHERS = ("WARDEN_", "OLLAMA_", "MLX_MAX_", "MLX_PRELOAD_", "MLX_RATE_", "MLX_MEMORY_", "MLX_MODELS_",
                      "COLUMNS", "LINES")  # of readline, which pytest imports: each worker of xdist inherits them
FOR_THE_TESTS = ("WARDEN_ARTEFACTS",)  # where screenshots go

settings.register_profile("short", deadline=None, derandomize=True, max_examples=50,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("short")


def pytest_configure(config: pytest.Config) -> None:
    """Search longer under `-m long`; unset what would configure a stack by accident; keep the tests off the network."""
    if config.option.markexpr.startswith("long"):
        settings.load_profile("long")
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in [name for name in os.environ if name.startswith(SETTINGS_OF_OTHERS) and name not in FOR_THE_TESTS]:
        del os.environ[name]


SLOW_FIRST = ("integration", "faults", "contract", "conformance", "model", "workers")  # what waits, then what computes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that none of them is begun when everything else is done (`make test` runs files in turn)."""
    rank = {folder: number for number, folder in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: (rank.get(item.path.relative_to(TESTS).parts[0], len(rank)), not shares(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return OneStackScheduling(config, log) if config.getvalue("dist") == "loadfile" else None
