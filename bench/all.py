"""`python -m bench all`: the benches whose figures stand in the README, in a row, each as it can be run alone.

About a quarter of an hour on two quiet cores. A bench that fails or misses what it measures is told and the next one
runs; the exit code is then 1. Figures that miss their target are no failure: they are measured, and said.
"""

import importlib
import shlex
import sys
import time
from collections.abc import Sequence

from bench.options import ROUNDS_MAX, SEED_DEFAULT, Parser, add_save_option, whole
from bench.program import BenchFailed
from bench.rounds import say

NAME = "all"
# What is run, with what beside --rounds, --seed and --save. In this order they stand in the README.
PLAN: dict[str, Sequence[str]] = {
    "throughput": (), "overhead": (), "latency": ("--duration", "8"),  # seconds, of each target and round
    "priority": (), "turns": (), "prefill": (), "coldstart": (), "scaling": (),
}
ROUNDS = 5
EXAMPLES = """
examples:
  python -m bench all --save                      # what `make bench-all` does
  python -m bench all --only throughput,overhead --rounds 3
"""


def main(arguments: list[str]) -> int:
    """0: all have run to their end."""
    parser = Parser(NAME, f"{', '.join(PLAN)}: one after the other.", EXAMPLES)
    parser.add_argument("--only", default=",".join(PLAN), metavar="NAMES", help="some of them (%(default)s)")
    parser.add_argument("--rounds", type=whole(1, ROUNDS_MAX), default=ROUNDS, help="of each (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="of each (%(default)s)")
    add_save_option(parser)
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    unknown = [name for name in names if name not in PLAN]
    if unknown:
        parser.error(f"--only: {unknown[0]!r} is none of {','.join(PLAN)}")
    shared = ["--rounds", str(options.rounds), "--seed", str(options.seed)]
    shared += [] if options.save is None else ["--save", options.save]
    ends = {name: run([name, *PLAN[name], *shared]) for name in names}
    print("\n" + "\n".join(f"{name:<12}{said}" for name, said in ends.items()))
    return int(any(not said.startswith("measured") for said in ends.values()))


def run(words: Sequence[str]) -> str:
    """One bench to its end. Returns in words how it ended; a wrong option of one is an end too."""
    name, *rest = words
    say(f"python -m bench {shlex.join(words)}")
    began_s = time.monotonic()
    try:
        code = importlib.import_module(f"bench.{name}").main(rest)
    except BenchFailed as failed:
        print(f"bench {name}: {failed}", file=sys.stderr)
        return f"FAILED: {failed}"
    took = f"in {time.monotonic() - began_s:.0f} s"
    print(flush=True)
    return f"measured {took}" if code == 0 else f"FAILED with code {code} {took}"
