"""The reference for a cold start: mlx_lm loads a model and says its first token, in a process that has imported all.

A process that has opened the model once without reading its weights, so that every import is done, says READY, and then
answers one line (a prompt) with one line: how long it took from there to the first token, and of that the load. It does
what any program around mlx_lm does, and no more: `load`, a `BatchGenerator`, the chat template, greedy steps until a
token is there. Then it ends: the next measurement is the first of its process too.

    python -m bench.ref_cold MODEL_DIRECTORY
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.program import BenchFailed, Program, python_module
from bench.ref_batch import READY, encode, write_line

NAME = "bare-load"
READY_WITHIN_S = 120.0
FIRST_WITHIN_S = 600.0


class Order(msgspec.Struct, frozen=True):
    prompt: str


class Began(msgspec.Struct, frozen=True):
    """Seconds. `first_s`: from the order to the first token, the load included."""

    load_s: float
    first_s: float
    prompt_tokens: int


def measure_bare(model: str, prompt: str, folder: Path) -> Began:
    """One cold start of `model` (a directory or an id that is in the cache). Raises: BenchFailed."""
    with Program(NAME, python_module("bench.ref_cold", model), folder, talks=True) as program:
        program.next_line(READY_WITHIN_S)
        try:
            return msgspec.json.decode(program.ask(msgspec.json.encode(Order(prompt)), FIRST_WITHIN_S), type=Began)
        except msgspec.DecodeError as error:
            raise BenchFailed(f"{NAME} answers what it should not: {error}") from None


def say_first(generator: Any, prompt: list[int]) -> None:
    """Steps until a token is there."""
    generator.insert([prompt], max_tokens=[1])
    while not generator.next()[1]:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ref_cold", description=__doc__.splitlines()[0])
    parser.add_argument("model")
    model_path = parser.parse_args().model
    from mlx_lm import load
    from mlx_lm.generate import BatchGenerator

    options = {"trust_remote_code": False, "local_files_only": True}
    load(model_path, tokenizer_config=options, lazy=True)
    write_line(READY)
    prompt = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order).prompt
    began_s = time.perf_counter()
    model, tokenizer = load(model_path, tokenizer_config=options)
    load_s = time.perf_counter() - began_s
    tokens = encode(tokenizer, prompt)
    say_first(BatchGenerator(model, stop_tokens=[[token] for token in sorted(tokenizer.eos_token_ids)]), tokens)
    write_line(msgspec.json.encode(Began(load_s, time.perf_counter() - began_s, len(tokens))))


if __name__ == "__main__":
    main()
