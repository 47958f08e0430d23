"""One HTTP face per test file; its fake gateway is as new in each test."""

from collections.abc import Iterator

import pytest

from tests.support.http_stack import HttpStack


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory) -> Iterator[HttpStack]:
    with HttpStack(tmp_path_factory.mktemp("h")) as stack:
        yield stack


@pytest.fixture
def stack(running_stack, monkeypatch) -> HttpStack:
    monkeypatch.setattr("gateway.client.TICK_EVERY_S", 0.05)
    running_stack.reset()
    return running_stack


@pytest.fixture
def http(stack):
    return stack.client


@pytest.fixture
def gateway(stack):
    return stack.gateway
