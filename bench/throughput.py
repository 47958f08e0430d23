"""`python -m bench throughput`: tokens per second of a stack under full load, beside a bare `BatchGenerator`.

A closed loop: so many streams at once, each asks again when its answer ends, until all requests of the round are
answered. In each round every target gets the same requests, one target after the other while the rest idles; each
round asks something new, so that no cache of prompts helps. A target's ratio is to the bare generator *of the same
round*; the figure of several rounds is the median. Answers are greedy, so that all have the same work.

Refused: a target that answers none of the requests that warm it up. Those that fail later are counted and shown, and
their tokens do not count.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from random import Random
from typing import NamedTuple

from bench.arrivals import ScheduleRefused, closed_loop
from bench.load import Loaded, Target, check_target, run_load, running_limit
from bench.machine import read_machine, server_pids
from bench.options import Parser, add_run_options, add_target_options, command_line, read_targets, whole
from bench.program import BenchFailed, own_folder
from bench.records import Ask, Summary, median_of, ratio, summarise
from bench.ref_batch import NAME as BARE
from bench.ref_batch import Batch, bare_batch
from bench.ref_server import mlx_lm_server
from bench.report import Table, choose_path, figure, print_report, utc_now, write_json
from bench.rounds import Contestant, Turn, choose_busy, figures_of, measure_in_turn, say
from bench.stack import RANDOM_MODELS, Stack, find_model

NAME = "throughput"
STREAMS_MAX = 256  # the largest batch of our worker
REQUESTS_MAX = 100_000
TOKENS_MAX = 100_000
CHARS_MAX = 100_000
REQUESTS_PER_STREAM = 8
WARM_TOKENS_MAX = 8
QUEUED_MIN = 50

EXAMPLES = """
examples:
  python -m bench throughput                              # 8 streams of 64 tokens, 1 M random weights
  python -m bench throughput --model 26m --streams 16 --rounds 5
  python -m bench throughput --model ~/models/phi-3.5     # your weights, or a Hugging Face id of the cache;
                                                          # they are loaded three times, once for each reference
  python -m bench throughput --against ollama=http://127.0.0.1:11434 --model-of ollama=phi3.5
  python -m bench throughput --url http://127.0.0.1:11435 # a stack that runs; no references without --model
"""


class Round(NamedTuple):
    """What one target did in one round. `tokens` are those of answers that ended well."""

    tokens: int
    wall_s: float
    done: int
    failed: int
    details: dict[str, int]
    generator_cpu_s: float | None = None  # None: nothing generates load beside it
    summary: Summary | None = None

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.wall_s if self.wall_s else 0.0


Answer = Callable[[list[Ask]], Round]  # answers all requests; returns when the last has ended


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    others = read_targets(parser, options)
    model = options.model or ("" if options.url else RANDOM_MODELS[0])
    if options.max_running and not model:
        parser.error("--max-running is of what is started here; the stack at --url has its own")
    requests = options.requests or REQUESTS_PER_STREAM * options.streams
    max_running = options.max_running or options.streams
    try:
        schedule = make_schedule(options.seed, options.rounds, requests, options.prompt_chars, options.tokens)
        warming = make_schedule(f"{options.seed}/warm", 1, options.streams, options.prompt_chars,
                                min(options.tokens, WARM_TOKENS_MAX))
    except ScheduleRefused as refused:
        parser.error(str(refused))
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json)
    others = [check_target(target) for target in others]
    limit = running_limit(others[0]) or "not known" if options.url else max_running
    with ExitStack() as running:
        say("starting what is to be measured")
        answerers, pids = start(running, model, others, not options.url, options.streams, max_running)
        warm_up(answerers, warming[0])
        contestants = [Contestant(name, lambda number, answer=answer: answer(schedule[number]))
                       for name, answer in answerers.items()]
        turns = measure_in_turn(contestants, options.rounds, pids,
                                lambda name, one: f"{name}, {one.tokens_per_s:.0f} tokens/s")
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": told_model(model, others, own_stack=not options.url), "seed": options.seed,
        "settings": {"streams": options.streams, "tokens": options.tokens, "requests": requests,
                     "rounds": options.rounds, "prompt_chars": options.prompt_chars, "temperature": 0,
                     "max_running": limit},
        "busy": choose_busy(turns), "targets": {name: figures(of_name) for name, of_name in turns.items()},
        "ratios": ratios(figures_of(turns))}
    write_json(result, path)
    print_report(result, tables_of(figures_of(turns)), path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "Tokens per second under full load, beside a bare BatchGenerator, mlx_lm.server.", EXAMPLES)
    parser.add_argument("--model", default="", help="1m or 26m (random weights; default 1m), a directory with weights, "
                        "or a Hugging Face id that is in the cache")
    parser.add_argument("--streams", type=whole(1, STREAMS_MAX), default=8, help="answers at once (%(default)s)")
    parser.add_argument("--tokens", type=whole(1, TOKENS_MAX), default=64, help="length of an answer (%(default)s)")
    parser.add_argument("--requests", type=whole(1, REQUESTS_MAX), default=0,
                        help=f"per target and round (default: {REQUESTS_PER_STREAM} for each stream)")
    parser.add_argument("--prompt-chars", type=whole(1, CHARS_MAX), default=60, help="length (%(default)s)")
    parser.add_argument("--max-running", type=whole(1, STREAMS_MAX), default=0,
                        help="running limit and batch size of the stack (default: as many as streams)")
    add_run_options(parser)
    add_target_options(parser)
    return parser


def make_schedule(seed: object, rounds: int, requests: int, prompt_chars: int, tokens: int) -> list[list[Ask]]:
    """The requests of each round, other prompts in each. Raises: ScheduleRefused."""
    return [closed_loop(Random(f"{seed}/{number}"), requests, {"medium": 1.0}, prompt_chars, tokens)
            for number in range(rounds)]


# -- who is measured -----------------------------------------------------------------------------------------------


def start(running: ExitStack, model: str, others: Sequence[Target], own_stack: bool, streams: int, max_running: int,
          ) -> tuple[dict[str, Answer], list[int]]:
    """Start the references (if there is a model for them) and our stack. Returns all in their order, and their pids.

    Raises: BenchFailed.
    """
    found: dict[str, Answer] = {}
    targets, pids = list(others), []
    batch_max = min(streams, max_running)
    if model:
        folder = running.enter_context(own_folder())
        path = find_model(model, folder)
        batch = running.enter_context(bare_batch(path, batch_max, folder))
        found[BARE] = lambda asks: measure_batch(batch, asks)
        server, program = running.enter_context(mlx_lm_server(path, batch_max, folder))
        targets.insert(0 if own_stack else 1, server)
        pids = [batch.pid, program.pid]
    if own_stack:
        name = model if model in RANDOM_MODELS else "measured"
        stack = running.enter_context(Stack.started(
            {name: f"path = {json.dumps(path)}\nbatch_size = {batch_max}"},  # a JSON string is one of TOML, too
            max_running=max_running, max_queued=max(QUEUED_MIN, streams)))
        targets = [Target("warden-zmq", "zmq", stack.clients, name), Target("warden", "http", stack.url, name),
                   *targets]
        pids += stack.pids()
    pids += [pid for target in others for pid in server_pids(target.address)]
    return found | {target.name: loaded_by(check_target(target), streams) for target in targets}, pids


def loaded_by(target: Target, streams: int) -> Answer:
    """A server, asked by the load generator."""
    return lambda asks: round_of(run_load(target, asks, streams=streams))


def round_of(loaded: Loaded) -> Round:
    summary = summarise(loaded.heard)
    every = summary.all
    return Round(every.tokens, summary.wall_s, every.done, every.n - every.done, every.details,
                 loaded.generator_cpu_s, summary)


def measure_batch(batch: Batch, asks: list[Ask]) -> Round:
    measured = batch.run(asks)
    return Round(measured.tokens, measured.wall_s, len(asks), 0, {})


def warm_up(answerers: Mapping[str, Answer], asks: list[Ask]) -> None:
    """Let each answer some requests that do not count. Raises: BenchFailed if one of them answers none."""
    for name, answer in answerers.items():
        say(f"warming up {name}")
        warmed = answer(asks)
        if not warmed.done:
            raise BenchFailed(f"{name} answers nothing: {', '.join(warmed.details)}")


# -- what is told --------------------------------------------------------------------------------------------------


def told_model(model: str, others: Sequence[Target], *, own_stack: bool) -> str:
    """What is started here serves `model`; what each of the others serves, since a ratio of two models says little."""
    started = [model if own_stack else f"references: {model}"] if model else []
    return "; ".join(started + [f"{one.name}: {one.model or 'its own choice'} at {one.address}" for one in others])


def figures(turns: Sequence[Turn[Round]]) -> dict[str, object]:
    """Of one target, for the JSON: the median, and every round with all that is known about it."""
    return {"tokens_per_s": median_of(turn.figures.tokens_per_s for turn in turns),
            "rounds": [{"tokens_per_s": turn.figures.tokens_per_s, **turn.record()} for turn in turns]}


def ratios(rounds: Mapping[str, Sequence[Round]]) -> dict[str, float | None]:
    """Of each target to the bare generator; where that was not measured, of the first target to each other."""
    first, *others = rounds
    pairs = [(name, BARE) for name in rounds if name != BARE] if BARE in rounds else [(first, name) for name in others]
    return {f"{ours} / {theirs}": ratio(*([one.tokens_per_s for one in rounds[name]] for name in (ours, theirs)))
            for ours, theirs in pairs}


def tables_of(rounds: Mapping[str, Sequence[Round]]) -> list[Table]:
    """Tokens per second; and why answers failed, if any did."""
    count = max(map(len, rounds.values()))
    columns = ["tokens per s", "median", *(f"round {number}" for number in range(1, count + 1)), "answers", "failed",
               "tokens", "generator\nCPU"]
    tables = [Table("", columns, [row_of(name, of_name) for name, of_name in rounds.items()])]
    failures = [(detail, name, str(times)) for name, of_name in rounds.items()
                for detail, times in sum((Counter(one.details) for one in of_name), Counter()).items()]
    return tables + ([Table("Refused or failed, all rounds", ("why", "target", "times"), failures)] if failures else [])


def row_of(name: str, rounds: Sequence[Round]) -> list[str]:
    """The generator's CPU is in percent of one core."""
    share = median_of(one.generator_cpu_s / one.wall_s for one in rounds
                      if one.generator_cpu_s is not None and one.wall_s)
    rates = [one.tokens_per_s for one in rounds]
    return [name, figure(median_of(rates)), *map(figure, rates), str(sum(one.done for one in rounds)),
            str(sum(one.failed for one in rounds)), str(sum(one.tokens for one in rounds)),
            "-" if share is None else f"{share:.0%}"]
