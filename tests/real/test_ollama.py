"""The conformance suite of backends against a server of the real `ollama` program, where there is one on PATH."""

import pytest

from tests.conformance.test_backends import *  # noqa: F403 - the suite itself; `backend` below says what it runs over
from tests.support.real_ollama import real_ollama

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    with real_ollama(tmp_path_factory.mktemp("ollama")) as made:
        yield made
