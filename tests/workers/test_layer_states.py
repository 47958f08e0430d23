"""workers/layer_states.py with tiny models, which are read by mlx_lm like any other."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.architectures import make_architecture
from workers.layer_states import begins_with_zeros
from workers.mlx_load import open_model


@pytest.mark.parametrize(("architecture", "same"), [("mamba", True), ("gemma3_text", True), ("recurrent_gemma", False)])
def test_whether_zeros_are_a_beginning(architecture, same, tmp_path):
    path = make_architecture(tmp_path / "model", architecture)

    def look() -> bool:
        return begins_with_zeros(open_model(str(path), lambda done: None)[0])

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(look).result() == same
