"""The reference for tokens per second: mlx_lm's `BatchGenerator`, and nothing around it.

A process that loads a model, says READY, and then answers each line of its standard input with one line (JSON both
ways). It does what is done for our requests in the end, and no more: greedy, so many answers at once, the next prompt
inserted in the step after which one has ended. No socket, no text: ids go nowhere. Loading, the chat template and
tokenizing are not on its clock, so its figure is what the model yields at best.

    python -m bench.ref_batch MODEL_DIRECTORY --streams 8

`mlx_lm` is used as it comes: what our engine sets differently (compilation on the CPU, chunks of prefill) is part of
what the ratio shows. `bare_batch` starts and drives such a process. Refused: a model without a chat template.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.program import BenchFailed, Program, python_module
from bench.records import Ask

NAME = "bare-batch"
READY = b"ready"  # the first line: the model is loaded
READY_WITHIN_S = 300.0
RUN_WITHIN_S = 1800.0


class Order(msgspec.Struct, frozen=True):
    """Answer all prompts, each as one message of a user, so many at once; the lists are of one length."""

    prompts: list[str]
    max_tokens: list[int]
    streams: int


class Measured(msgspec.Struct, frozen=True):
    """Of one order: tokens of all prompts and of all answers, and the time from the first insert to the last token."""

    prompt_tokens: int
    tokens: int
    wall_s: float


class Batch:
    """A `BatchGenerator` process that has loaded its model; see `bare_batch`."""

    def __init__(self, program: Program) -> None:
        self.pid = program.pid
        self._program = program

    def run(self, asks: Sequence[Ask], streams: int) -> Measured:
        """`streams`: at most those it was started with. Raises: BenchFailed."""
        order = Order([ask.prompt for ask in asks], [ask.max_tokens for ask in asks], streams)
        try:
            return msgspec.json.decode(self._program.ask(msgspec.json.encode(order), RUN_WITHIN_S), type=Measured)
        except msgspec.DecodeError as error:
            raise BenchFailed(f"{NAME} answers what it should not: {error}") from None


@contextmanager
def bare_batch(model: str, streams: int, folder: Path) -> Iterator[Batch]:
    """A process for this model (a directory) while the block runs, at most `streams` answers at once.

    Raises: BenchFailed.
    """
    command = python_module("bench.ref_batch", model, "--streams", str(streams))
    with Program(NAME, command, folder, talks=True) as program:
        program.next_line(READY_WITHIN_S)
        yield Batch(program)


def generate(generator: Any, prompts: Sequence[Sequence[int]], max_tokens: Sequence[int], streams: int) -> int:
    """Run all prompts (token ids) through a BatchGenerator, `streams` at once. Returns the number of answered tokens.

    A token that ends an answer is not counted, as in our worker.
    """
    waiting = deque(zip(prompts, max_tokens, strict=True))
    running = tokens = 0
    while waiting or running:
        free = min(streams - running, len(waiting))
        if free:
            chosen = [waiting.popleft() for _ in range(free)]
            generator.insert([list(ids) for ids, _ in chosen], max_tokens=[most for _, most in chosen])
            running += free
        _, responses = generator.next()
        for response in responses:
            tokens += response.finish_reason != "stop"
            running -= response.finish_reason is not None
    return tokens


def encode(tokenizer: Any, prompt: str) -> list[int]:
    """The ids of one message of a user, as our worker makes them."""
    return tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ref_batch", description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=8)
    arguments = parser.parse_args()
    from mlx_lm import load
    from mlx_lm.generate import BatchGenerator

    model, tokenizer = load(
        arguments.model, tokenizer_config={"trust_remote_code": False, "local_files_only": True})
    if not tokenizer.has_chat_template:
        raise SystemExit(f"{arguments.model}: no chat template; the bench asks by messages, so take a chat model")
    generator = BatchGenerator(
        model, stop_tokens=[[token] for token in sorted(tokenizer.eos_token_ids)],
        completion_batch_size=arguments.streams, prefill_batch_size=arguments.streams)
    write_line(READY)
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        prompts = [encode(tokenizer, prompt) for prompt in order.prompts]
        started_s = time.perf_counter()
        tokens = generate(generator, prompts, order.max_tokens, order.streams)
        measured = Measured(sum(map(len, prompts)), tokens, time.perf_counter() - started_s)
        write_line(msgspec.json.encode(measured))


def write_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
