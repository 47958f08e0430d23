"""`python -m bench latency`: what callers wait, by class, at a given rate; of our stack and of any other server.

How it measures: requests arrive by a schedule made beforehand (Poisson; or, with --closed N, N callers who ask again as
soon as they have their answer). In each round every target gets the same schedule, one target at a time, in an order
that changes from round to round; the others are idle then. Each has answered a first request before the clock starts.
What is reported is the median over the rounds. A stack that is started here is measured over HTTP and over ZeroMQ.

Refused, before anything is measured: wrong options (exit code 2), a target that does not answer a request (1).
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import NamedTuple

from bench.arrivals import ScheduleRefused, closed_loop, open_loop, read_mix
from bench.figures import Figure
from bench.load import PROCESSES_MAX, Target, Unreachable, check_target, run_load, running_limit
from bench.machine import read_machine, server_pids
from bench.options import Parser, add_run_options, add_target_options, command_line, number, read_targets, whole
from bench.records import Ask, Group, Summary, median_round, summarise
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, choose_busy, figures_of, measure_in_turn, say
from bench.stack import ECHO, RANDOM_MODELS, Stack, weights_of
from bench.table import Table, figure

MODEL_DEFAULT = "1m"
RATE_DEFAULT_PER_S = 4.0
DURATION_DEFAULT_S = 15.0
DURATION_MAX_S = 86_400.0
REQUESTS_PER_STREAM = 8
STREAMS_MAX = 1024
RUNNING_MAX = 256  # the largest batch of our worker
RUNNING_DEFAULT = 8
HTTP, ZMQ = "warden", "warden-zmq"
MEASURED = "measured"  # what a model of the user's own is called in our stack
P99_MIN = 100  # answers; of fewer, the 99th percentile is the longest
EXAMPLES = """examples:
  python -m bench latency                                       a stack of its own, with random weights
  python -m bench latency --rate 10 --duration 60 --mix high=1,low=9
  python -m bench latency --model mlx-community/Phi-3.5-mini-instruct-4bit --max-tokens 128
  python -m bench latency --url http://127.0.0.1:11435 --model-of warden=phi3.5-mini-4k
  python -m bench latency --against ollama=http://127.0.0.1:11434 --model-of ollama=phi3.5
  python -m bench latency --against o=http://127.0.0.1:11434 --dialect-of o=ollama --model-of o=phi3.5
  python -m bench latency --against far=https://api.example.org --key-of far=FAR_API_KEY --closed 4
"""
CLASS_COLUMNS = ("class", "asked", "done", "refused", "failed", "first\np50", "text\np95", "(ms)\np99",
                 "between\np50", "texts\np95", "(ms)\np99", "whole\np50", "answer\np95", "(ms)\np99", "tokens\nper s")


class Run(NamedTuple):
    """What one target did in one round."""

    summary: Summary
    generator_cpu_s: float


def main(arguments: list[str]) -> int:
    parser, options = read_options(arguments)
    named = read_targets(parser, options)
    try:
        schedules = [schedule_of(options, Random(f"{options.seed}/{turn}")) for turn in range(options.rounds)]
        # Not one of theirs: a server that keeps prompts would know it already.
        first = schedule_of(options, Random(f"{options.seed}/warm"))[0]
    except ScheduleRefused as refused:
        parser.error(str(refused))
    started_at = utc_now()
    path = choose_path("latency", started_at, options.json, options.save)
    named = [check_target(target) for target in named]
    limit = running_limit(named[0]) if options.url else options.max_running
    with stack_of(options) as (ours, pids):
        targets = ours + named
        pids = pids + [pid for target in named for pid in server_pids(target.address)]
        for target in targets:
            warm_up(target, first)
        contestants = [contestant_of(target, schedules, options) for target in targets]
        turns = measure_in_turn(contestants, options.rounds, pids, told)
    runs = figures_of(turns)
    result = {
        "command": command_line("latency", arguments), "bench": "latency", "started_at": started_at,
        "machine": read_machine(), "model": (targets[0].model or "its own choice") if options.url else options.model,
        "seed": options.seed, "settings": settings_of(options, limit), "busy": choose_busy(turns),
        "targets": {target.name: {"kind": target.kind, "address": target.address, "model": target.model,
                                  "median": median_round([run.summary for run in runs[target.name]]),
                                  "rounds": turns[target.name]} for target in targets},
        "figures": figures_of_latency(runs), "readme": [readme_table(targets, runs, options.model)],
    }
    finish(result, tables_of(targets, runs), path)
    return 0


# -- options -------------------------------------------------------------------------------------------------------


def read_options(arguments: Sequence[str]) -> tuple[Parser, argparse.Namespace]:
    """`options.mix` is decoded, rate and duration (or requests) are set. Wrong ones end in `parser.error`."""
    parser = Parser("latency", "What callers wait: time to the first text, between texts, until the end; by class.",
                    EXAMPLES)
    parser.add_argument("--rate", type=number(0.001, 10_000), help=f"requests per second ({RATE_DEFAULT_PER_S:g})")
    parser.add_argument("--duration", type=number(0.1, DURATION_MAX_S), help="seconds in which requests arrive "
                        f"({DURATION_DEFAULT_S:g}); a round ends with the last answer")
    parser.add_argument("--closed", type=whole(1, STREAMS_MAX), metavar="N",
                        help="closed loop: N callers, each asks again when it has its answer")
    parser.add_argument("--requests", type=whole(1, 100_000),
                        help=f"how many in all, with --closed ({REQUESTS_PER_STREAM} for each caller)")
    parser.add_argument("--mix", default="high=1,medium=2,low=1", help="classes and their weights (%(default)s)")
    parser.add_argument("--prompt-chars", type=whole(1, 1_000_000), default=200, help="(%(default)s)")
    parser.add_argument("--max-tokens", type=whole(1, 1_000_000), default=32, help="of each answer (%(default)s)")
    parser.add_argument("--model", default=MODEL_DEFAULT, help="what the stack that is started serves: 1m or 26m "
                        "(random weights), echo, a directory or a Hugging Face id in the cache (%(default)s)")
    parser.add_argument("--max-running", type=whole(1, RUNNING_MAX),
                        help=f"running limit and batch size of that stack ({RUNNING_DEFAULT})")
    parser.add_argument("--generators", type=whole(1, PROCESSES_MAX), default=1,
                        help="processes that send the load (%(default)s)")
    add_target_options(parser)
    add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.closed is None and options.requests is not None:
        parser.error("--requests goes with --closed; an open loop has --rate and --duration")
    if options.closed is not None and (options.rate is not None or options.duration is not None):
        parser.error("--rate and --duration are of an open loop, --closed is another; give one or the other")
    if options.url and options.model != MODEL_DEFAULT:
        parser.error("--model is of a stack that is started here; with --url say --model-of warden=MODEL")
    if options.url and options.max_running:
        parser.error("--max-running is of a stack that is started here; the one at --url has its own")
    try:
        options.mix = read_mix(options.mix)
    except ScheduleRefused as refused:
        parser.error(str(refused))
    options.rate, options.duration = options.rate or RATE_DEFAULT_PER_S, options.duration or DURATION_DEFAULT_S
    options.requests = options.requests or REQUESTS_PER_STREAM * (options.closed or 0)
    options.max_running = options.max_running or RUNNING_DEFAULT
    return parser, options


def schedule_of(options: argparse.Namespace, random: Random) -> list[Ask]:
    """Raises: ScheduleRefused."""
    if options.closed:
        return closed_loop(random, options.requests, options.mix, options.prompt_chars, options.max_tokens)
    return open_loop(random, options.rate, options.duration, options.mix, options.prompt_chars, options.max_tokens)


def settings_of(options: argparse.Namespace, max_running: int | None) -> dict[str, object]:
    """`max_running` None: the running stack does not say."""
    loop = {"closed_loop_streams": options.closed, "requests": options.requests} if options.closed else {
        "open_loop_rate_per_s": options.rate, "duration_s": options.duration}
    return {"max_running": "not known" if max_running is None else max_running} | loop | {
        "mix": ":".join(f"{name}={weight:g}" for name, weight in options.mix.items()),
        "prompt_chars": options.prompt_chars, "max_tokens": options.max_tokens, "rounds": options.rounds,
        "generators": options.generators, "temperature": 0}


# -- measuring -----------------------------------------------------------------------------------------------------


@contextmanager
def stack_of(options: argparse.Namespace) -> Iterator[tuple[list[Target], list[int]]]:
    """The targets of a stack that lives as long as the block, and its pids; nothing if --url names a running one."""
    if options.url:
        yield [], []
        return
    name, body = options.model, f"batch_size = {options.max_running}"  # whatever may run, runs as one batch
    if options.model not in (*RANDOM_MODELS, ECHO):
        # a JSON string is a TOML string too
        name, body = MEASURED, f"path = {json.dumps(weights_of(options.model))}\n{body}"
    say("starting a stack")
    with Stack.started({name: body}, max_running=options.max_running) as stack:
        targets = [Target(HTTP, "http", stack.url, name), Target(ZMQ, "zmq", stack.clients, name)]
        yield targets, stack.pids()


def warm_up(target: Target, ask: Ask) -> None:
    """Some servers load their model when they are first asked. Raises: Unreachable."""
    say(f"{target.name} answers a first request")
    [heard] = run_load(target, [ask._replace(at_s=0.0)], streams=1).heard
    if heard.outcome != "done":
        raise Unreachable(f"{target.name}: its first request was {heard.outcome}: {heard.detail}")


def contestant_of(target: Target, schedules: Sequence[list[Ask]], options: argparse.Namespace) -> Contestant[Run]:
    def measure(turn: int) -> Run:
        loaded = run_load(target, schedules[turn], options.closed or 0, options.generators)
        return Run(summarise(loaded.heard), loaded.generator_cpu_s)
    return Contestant(target.name, measure)


def told(name: str, run: Run) -> str:
    every = run.summary.all
    return f"{name}: {every.done} of {every.n} answered, first text p50 {figure(every.ttft_ms.p50)} ms"


# -- telling -------------------------------------------------------------------------------------------------------


READS = (("first text p50", "lower", "ms", lambda one: one.ttft_ms.p50),
         ("first text p95", "lower", "ms", lambda one: one.ttft_ms.p95),
         ("between texts p50", "lower", "ms", lambda one: one.between_ms.p50),
         ("whole answer p50", "lower", "ms", lambda one: one.total_ms.p50),
         ("tokens per second", "higher", "tokens/s", lambda one: one.tokens_per_s))


def figures_of_latency(runs: Mapping[str, Sequence[Run]]) -> list[Figure]:
    """Our stack by itself, over HTTP and ZeroMQ; and over HTTP beside each other server, round by round."""
    first, *others = runs
    values = {(name, what): [read(run.summary.all) for run in of_name] for name, of_name in runs.items()
              for what, _, _, read in READS}
    alone = [Figure(f"{what}, {name}", better, values[name, what], unit) for name in runs if name in (first, ZMQ)
             for what, better, unit, _ in READS]
    return alone + [Figure(f"{what}, {first} beside {other}", better, values[first, what], unit, values[other, what],
                           other) for other in others if other != ZMQ for what, better, unit, _ in READS]


def readme_table(targets: Sequence[Target], runs: Mapping[str, Sequence[Run]], model: str) -> Table:
    """Everybody who was measured, each with its model, since times of two models say little; `model`: of our stack."""
    rows = []
    for target in targets:
        every = median_round([run.summary for run in runs[target.name]]).all
        asked = model if target.model == MEASURED else target.model or "its own choice"
        rows.append((f"{target.name} ({asked})",
                     *(figure(read(every)) for *_, read in READS), str(every.done), str(every.n - every.done)))
    return Table("`bench latency`, requests as they come, milliseconds",
                 ("", *(what for what, *_ in READS), "answers", "failed"), rows)


def tables_of(targets: Sequence[Target], runs: Mapping[str, Sequence[Run]]) -> list[Table]:
    """Times and rates are medians of the rounds, counts are of all rounds together."""
    tables, failures, generators = [], [], []
    for target in targets:
        name, of_target = target.name, runs[target.name]
        median = median_round([run.summary for run in of_target])
        title = f"{name}: {target.model or 'its own choice of model'} at {target.address}"
        if median.tokens_by == "frames":
            title += " (sends no usage: frames are counted as tokens)"
        groups = median.classes | ({"all": median.all} if len(median.classes) > 1 else {})
        if any(group.done < P99_MIN * len(of_target) for group in groups.values()):
            title += f"\nwhere a round has fewer than {P99_MIN} answers, p99 is its longest"
        tables.append(Table(title, CLASS_COLUMNS, [class_row(klass, group) for klass, group in groups.items()]))
        failures += [(detail, name, str(count)) for detail, count in median.all.details.items()]
        cpu_s = sum(run.generator_cpu_s for run in of_target)
        wall_s = sum(run.summary.wall_s for run in of_target)
        generators.append((name, *map(figure, median.late_ms), figure(cpu_s), figure(wall_s)))
    if failures:
        tables.append(Table("Refused or failed, all rounds", ("why", "target", "times"), failures))
    tables.append(Table("The load generator's own part, all rounds", ("target", "sent late, ms\np50", "p95", "p99",
                                                                     "CPU s", "of s"), generators))
    return tables


def class_row(klass: str, group: Group) -> tuple[str, ...]:
    return (klass, *map(str, (group.n, group.done, group.refused, group.errors)),
            *map(figure, (*group.ttft_ms, *group.between_ms, *group.total_ms)), figure(group.tokens_per_s))
