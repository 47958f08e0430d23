"""`python -m bench throughput`: tokens per second of a stack under full load, beside a bare `BatchGenerator`.

A closed loop: so many streams at once, each asks again when its answer ends, until all requests of the round are
answered. In each round every target gets the same requests, one target after the other while the rest idles; each
round asks something new, and our own stack has its prefix cache off (it is asked twice, over ZeroMQ and over HTTP), so
that no cache of prompts helps. A target's ratio is to the bare generator *of the same round*; the figure of several
rounds is the median. Answers are greedy, so that all have the same work. Several models are measured one after the
other, several numbers of streams in the same rounds.

Refused: a target that answers none of the requests that warm it up; another server beside two models, because it serves
one of them at most. Requests that fail later are counted and shown, and their tokens do not count.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random

from bench.answerers import Round, start, warm_up
from bench.arrivals import ScheduleRefused, closed_loop
from bench.load import Target, check_target, running_limit
from bench.machine import read_machine
from bench.options import Parser, add_run_options, add_target_options, command_line, read_targets, whole
from bench.records import Ask
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, Rounds, choose_busy, figures_of, measure_in_turn, say
from bench.stack import RANDOM_MODELS
from bench.throughput_report import (
    Case,
    figures,
    figures_to_reach,
    model_words,
    peers_table,
    plot_of,
    tables_of,
    told_models,
)

NAME = "throughput"
STREAMS_MAX = 256  # the largest batch of our worker
REQUESTS_MAX = 100_000
TOKENS_MAX = 100_000
CHARS_MAX = 100_000
STREAMS = (8, 1)
REQUESTS_PER_STREAM = 4
WARM_TOKENS_MAX = 8

EXAMPLES = """
examples:
  python -m bench throughput                              # 1 M and 26 M random weights, 8 streams and 1
  python -m bench throughput --model 26m --streams 16 --rounds 5
  python -m bench throughput --model ~/models/phi-3.5     # your weights, or a Hugging Face id of the cache;
                                                          # they are loaded three times, once for each reference
  python -m bench throughput --model ~/models/phi-3.5 --against ollama=http://127.0.0.1:11434 \\
      --model-of ollama=phi3.5 --against lmstudio=http://127.0.0.1:1234
  python -m bench throughput --url http://127.0.0.1:11435 # a stack that runs; no references without --model
"""


Measured = dict[Case, Rounds[Round]]


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    others = read_targets(parser, options)
    models = options.model or ([""] if options.url else [RANDOM_MODELS[0]] if others else list(RANDOM_MODELS))
    check_options(parser, options, models, others)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    others = [check_target(target) for target in others]
    most = max(options.streams)
    limit = running_limit(others[0]) or "not known" if options.url else options.max_running or most
    measured: Measured = {}
    for model in models:
        measured |= measure_model(parser, options, model, others)
    rounds = {case: figures_of(turns) for case, turns in measured.items()}
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": told_models(models, others, own_stack=not options.url), "seed": options.seed,
        "settings": {"streams": " and ".join(map(str, options.streams)), "tokens": options.tokens,
                     "requests_per_stream": options.requests_per_stream, "rounds": options.rounds,
                     "prompt_chars": options.prompt_chars, "temperature": 0, "max_running": limit},
        "busy": [f"{case.words}: {sentence}" for case, turns in measured.items() for sentence in choose_busy(turns)],
        "targets": {case.words: {name: figures(of_name) for name, of_name in turns.items()}
                    for case, turns in measured.items()},
        "figures": [one for case, of_case in rounds.items() for one in figures_to_reach(case, of_case)],
        "readme": [peers_table(rounds, options.tokens, others)], "plots": [plot_of(rounds)]}
    finish(result, tables_of(rounds), path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "Tokens per second under full load, beside a bare BatchGenerator, mlx_lm.server.", EXAMPLES)
    parser.add_argument("--model", action="append", default=[], help="1m or 26m (random weights; default both), a "
                        "directory with weights, or a Hugging Face id that is in the cache; repeatable")
    parser.add_argument("--streams", type=read_streams, default=STREAMS, metavar="N,N",
                        help="answers at once; several numbers are measured in turn (8,1)")
    parser.add_argument("--tokens", type=whole(1, TOKENS_MAX), default=64, help="length of an answer (%(default)s)")
    parser.add_argument("--requests-per-stream", type=whole(1, REQUESTS_MAX), default=REQUESTS_PER_STREAM,
                        help="per target and round (%(default)s)")
    parser.add_argument("--prompt-chars", type=whole(1, CHARS_MAX), default=60, help="length (%(default)s)")
    parser.add_argument("--max-running", type=whole(1, STREAMS_MAX), default=0,
                        help="running limit and batch size of the stack (default: as many as streams)")
    add_run_options(parser)
    add_target_options(parser)
    return parser


def read_streams(text: str) -> tuple[int, ...]:
    """An argparse type: numbers between commas."""
    return tuple(dict.fromkeys(whole(1, STREAMS_MAX)(part) for part in text.split(",")))


def check_options(parser: Parser, options: argparse.Namespace, models: Sequence[str], others: Sequence[Target]) -> None:
    """Wrong ones end in `parser.error`."""
    if options.max_running and not models[0]:
        parser.error("--max-running is of what is started here; the stack at --url has its own")
    if others and len(models) > 1:
        parser.error("another server is measured beside one model; give one --model")


# -- measuring -----------------------------------------------------------------------------------------------------


def measure_model(parser: Parser, options: argparse.Namespace, model: str, others: Sequence[Target]) -> Measured:
    """Every number of streams, for everybody, in turn. Raises: BenchFailed."""
    most = max(options.streams)
    cases = {f"{Case(model, streams).words}: ": Case(model, streams) for streams in options.streams}
    try:
        schedules = {case: make_schedule(options.seed, options.rounds, case.streams, options.requests_per_stream,
                                         options.prompt_chars, options.tokens) for case in cases.values()}
        [warming] = make_schedule(f"{options.seed}/warm", 1, most, 1, options.prompt_chars,
                                  min(options.tokens, WARM_TOKENS_MAX))
    except ScheduleRefused as refused:
        parser.error(str(refused))
    with ExitStack() as running:
        say(f"starting what is to be measured{f' with {model_words(model)}' if model else ''}")
        answerers, pids = start(running, model, others, not options.url, most, options.max_running or most)
        warm_up(answerers, warming, most)
        contestants = [
            Contestant(label + name, lambda number, answer=answer, case=case: answer(schedules[case][number],
                                                                                     case.streams))
            for label, case in cases.items() for name, answer in answerers.items()]
        turns = measure_in_turn(contestants, options.rounds, pids,
                                lambda name, one: f"{name}, {one.tokens_per_s:.0f} tokens/s")
    return {case: {name: turns[label + name] for name in answerers} for label, case in cases.items()}


def make_schedule(seed: object, rounds: int, streams: int, per_stream: int, prompt_chars: int, tokens: int,
                  ) -> list[list[Ask]]:
    """The requests of each round, other prompts in each. Raises: ScheduleRefused."""
    return [closed_loop(Random(f"{seed}/{streams}/{number}"), per_stream * streams, {"medium": 1.0}, prompt_chars,
                        tokens) for number in range(rounds)]
