"""The reference for tokens per second over HTTP: `mlx_lm.server`, the server that comes with mlx_lm.

It is run as its users run it, on the same model directory, with as many answers at once as ours has; the same load
generator asks it in the same words. Its cache of prompts stays on: every round asks something new of every target.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import Target
from bench.program import Program, free_port, python_module

NAME = "mlx_lm.server"
READY_WITHIN_S = 300.0
OWN_MODEL = "default_model"  # its name for what --model gave


@contextmanager
def mlx_lm_server(model: str, streams: int, folder: Path) -> Iterator[tuple[Target, Program]]:
    """Serve the model (a directory), `streams` at once, while the block runs. Raises: BenchFailed.

    It listens before it has loaded; whoever asks it first waits for that.
    """
    port = free_port()
    command = python_module(
        "mlx_lm", "server", "--model", model, "--host", "127.0.0.1", "--port", str(port), "--log-level", "ERROR",
        "--decode-concurrency", str(streams), "--prompt-concurrency", str(streams))
    with Program(NAME, command, folder) as program:
        program.wait_listening(port, READY_WITHIN_S)
        yield Target(NAME, "http", f"http://127.0.0.1:{port}", OWN_MODEL), program
