"""`python -m bench memory`: does a worker's memory stay below the share that it was given?

A worker with an MLX model gets a share (`memory_gb`) and answers several long prompts at once. Meanwhile the table is
read SAMPLES_PER_S times a second: MLX's own bytes (active and cache), MLX's own peak of the active ones, and the
footprint of the whole process. Exit code 1 if any of them was above the share, or if not every request was answered.

It writes a plot of share against use over time beside the JSON. It shows what this worker does with its share, not how
fast it is, and nothing about what several workers together leave to the machine.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.arrivals import closed_loop
from bench.load import Target, run_load
from bench.machine import Watch, busy_sentence, read_machine
from bench.options import SEED_DEFAULT, Parser, add_output_options, command_line, number, whole
from bench.plot import Line, Plot, draw
from bench.program import BenchFailed
from bench.records import Summary, summarise
from bench.report import choose_path, finish, utc_now
from bench.rounds import say
from bench.stack import RANDOM_MODELS, Stack, weights_of
from bench.table import Table, figure
from bench.table_samples import SAMPLES_PER_S, Sample, table_sampled

NAME = "memory"
MEASURED = "measured"  # what a model of the user's own is called in this stack
GIB = 2**30
MIB = 2**20

EXAMPLES = """
examples:
  python -m bench memory
  python -m bench memory --model 26m --share 2 --requests 8
  python -m bench memory --model mlx-community/Phi-3.5-mini-instruct-4bit --share 6
"""


def main(arguments: list[str]) -> int:
    """Run, tell, write. 0: it stayed below its share and answered everything. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    own = options.model not in RANDOM_MODELS
    name = MEASURED if own else options.model
    body = f"batch_size = {options.sequences}\nmemory_gb = {options.share}"
    if own:
        body = f"path = {json.dumps(weights_of(options.model))}\n{body}"  # a JSON string is a TOML string too
    asks = closed_loop(Random(options.seed), options.requests, {"medium": 1.0}, options.prompt_chars,
                       options.max_tokens)
    say("starting a stack")
    with Stack.started({name: body}, max_running=options.sequences) as stack:
        watch = Watch(stack.pids())
        with table_sampled(stack.table_path) as samples:
            say(f"{options.requests} long prompts, {options.sequences} at once")
            loaded = run_load(Target("warden-zmq", "zmq", stack.clients, name), asks, options.sequences)
        busy = busy_sentence(watch.others_share())
    summary, of_worker = summarise(loaded.heard), [sample for sample in samples[name] if sample.share_bytes]
    if not of_worker:
        raise BenchFailed("the worker does not say in the table what its share is")
    faults = faults_of(of_worker, summary)
    plot = plot_of(f"{options.model}: share and use, {options.sequences} sequences", of_worker)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": options.model, "seed": options.seed,
        "settings": {"memory_gb": options.share, "sequences": options.sequences, "requests": options.requests,
                     "prompt_chars": options.prompt_chars, "max_tokens": options.max_tokens,
                     "samples_per_s": SAMPLES_PER_S},
        "busy": [busy] if busy else [], "plots": [plot],
        "targets": {"warden": {"verdict": verdict(faults), "highest_bytes": highest_of(of_worker), "answers": summary,
                               "samples": of_worker}}}
    drawn = path.with_name(f"{path.stem}-{plot.name}.svg")
    finish(result, tables_of(of_worker, faults, summary, drawn), path)
    draw(plot, drawn)
    return 1 if faults else 0


def make_parser() -> Parser:
    parser = Parser(NAME, "Does a worker's memory stay below its share, with long prompts?", EXAMPLES)
    parser.add_argument("--model", default="1m", help="1m or 26m (random weights), a directory or a Hugging Face id "
                        "in the cache (%(default)s)")
    parser.add_argument("--share", type=number(0.05, 1024), default=0.5,
                        help="memory_gb of the model, GiB (%(default)g)")
    parser.add_argument("--sequences", type=whole(1, 256), default=8, help="prompts at once (%(default)s)")
    parser.add_argument("--requests", type=whole(1, 100_000), default=24, help="in all (%(default)s)")
    parser.add_argument("--prompt-chars", type=whole(1, 1_000_000), default=3_000, help="(%(default)s)")
    parser.add_argument("--max-tokens", type=whole(1, 1_000_000), default=32, help="of each answer (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="of the prompts (%(default)s)")
    add_output_options(parser)
    return parser


def highest_of(samples: Sequence[Sample]) -> dict[str, int]:
    """What each was at most, in bytes. The share is what it was at least, should it have changed."""
    return {
        "share": min(sample.share_bytes for sample in samples),
        "active and cache": max(sample.active_bytes + sample.cache_bytes for sample in samples),
        "active, MLX's own peak": max(sample.peak_bytes for sample in samples),
        "footprint": max(sample.footprint_bytes for sample in samples),
    }


def faults_of(samples: Sequence[Sample], summary: Summary) -> list[str]:
    """Each sample is held against the share of the same moment."""
    uses = {"active and cache": lambda one: one.active_bytes + one.cache_bytes,
            "the peak of active": lambda one: one.peak_bytes, "the footprint": lambda one: one.footprint_bytes}
    faults = []
    for what, read in uses.items():
        over = [sample for sample in samples if read(sample) > sample.share_bytes]
        if over:
            worst = max(over, key=lambda one: read(one) - one.share_bytes)
            faults.append(f"{what} was {(read(worst) - worst.share_bytes) / MIB:.0f} MiB above the share at "
                          f"{worst.at_s:.1f} s")
    if not any(sample.active_bytes for sample in samples):
        faults.append("the worker does not say what MLX uses")
    if summary.all.done < summary.all.n:
        faults.append(f"{summary.all.n - summary.all.done} of {summary.all.n} requests were not answered")
    return faults


def verdict(faults: Sequence[str]) -> str:
    return f"NOT GOOD: {'; '.join(faults)}" if faults else "GOOD: it stayed below its share"


def tables_of(samples: Sequence[Sample], faults: Sequence[str], summary: Summary, plot: Path) -> list[Table]:
    highest, batch = highest_of(samples), max(sample.batch_max for sample in samples)
    rows = [(what, f"{size / MIB:.0f}", f"{size / highest['share']:.0%}") for what, size in highest.items()]
    failures = [(detail, str(count)) for detail, count in summary.all.details.items()]
    tables = [
        Table(f"{verdict(faults)}\nIts share holds at most {batch} sequences at once. The most that was seen, by "
              f"{SAMPLES_PER_S} looks a second:",
              ("", "MiB", "of the share"), rows),
        Table("Answers", ("", "p50, ms", "p95, ms"), [
            ("first text", *map(figure, summary.all.ttft_ms[:2])),
            ("whole answer", *map(figure, summary.all.total_ms[:2]))]),
    ]
    tables += [Table("Refused or failed", ("why", "times"), failures)] if failures else []
    return [*tables, Table("Over time", ("", "plot"), [("share against use", str(plot))])]


def plot_of(title: str, samples: Sequence[Sample]) -> Plot:
    reads = {"share": lambda one: one.share_bytes, "footprint": lambda one: one.footprint_bytes,
             "active and cache": lambda one: one.active_bytes + one.cache_bytes, "active": lambda one: one.active_bytes}
    lines = [Line(name, [(one.at_s, read(one) / GIB) for one in samples]) for name, read in reads.items()]
    return Plot("share", title, "seconds", "GiB", lines)
