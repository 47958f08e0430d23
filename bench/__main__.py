"""`python -m bench`: chooses the bench and turns its end into an exit code.

0 measured, 1 something that was to be measured does not answer or failed (one line says what), or `compare` found
something slower, 2 wrong options, 130 Ctrl-C. A bench is a module of this package with `main(arguments) -> int`; only
the one that is asked is imported.
"""

import importlib
import sys

from bench.program import BenchFailed

BENCHES = {
    "latency": ("bench.latency", "what callers wait until the first text, between texts, in all; by class"),
    "throughput": ("bench.throughput", "tokens per second, beside a bare BatchGenerator and mlx_lm.server"),
    "overhead": ("bench.overhead", "what the path to the worker costs, beside a bare relay and a bare web server"),
    "priority": ("bench.priority", "what HIGH waits while LOW is queued and running, beside an idle system"),
    "turns": ("bench.turns", "the second turn of a long conversation beside its first, also after an eviction"),
    "prefill": ("bench.prefill", "how long a long prompt stops the answers that are under way"),
    "coldstart": ("bench.coldstart", "a request for a model that is not loaded, beside load and first token alone"),
    "scaling": ("bench.scaling", "admission, the table and memory, from few requests to very many"),
    "eviction": ("bench.eviction", "thousands of evictions of models that work: is an answer ever lost?"),
    "memory": ("bench.memory", "does a worker's own memory stay below its share? With a plot"),
    "structured": ("bench.structured", "what answers held to a schema cost the others of their batch"),
    "swap": ("bench.swap", "two models that do not fit together: what callers wait, how often each is loaded"),
}
COMMANDS = {
    "all": ("bench.all", "those whose figures stand in the README, in a row"),
    "compare": ("bench.compare", "two results: what got slower"),
    "tables": ("bench.tables", "the README's tables, from bench/results"),
}
USAGE = "\n".join([
    "usage: python -m bench BENCH [options]", "",
    *(f"  {name:<12}{what}" for name, (_, what) in BENCHES.items()), "",
    "Each starts a stack of its own unless --url names a running one, and each tells more with --help. And:", "",
    *(f"  {name:<12}{what}" for name, (_, what) in COMMANDS.items()),
])


def main(arguments: list[str]) -> int:
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
        return 0
    known = BENCHES | COMMANDS
    if name not in known:
        print(f"bench: {name!r} is no bench; there are {', '.join(known)}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(known[name][0]).main(rest)
    except BenchFailed as failed:
        print(f"bench {name}: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nbench {name}: ended by Ctrl-C", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
