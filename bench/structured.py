"""`python -m bench structured`: what answers that are held to a schema cost, themselves and the others of their batch.

Three mixtures in turn, all in full batches of one stack, in a closed loop over ZeroMQ: nobody is held, one of them is,
all are. Every answer has the same number of tokens (the schema is a list that is longer than any answer here), so one
place in the batch stays with a held answer for the whole round. The figures are the tokens per second of all, and what
callers wait between two tokens: of plain answers, and of held ones. Ratios are to the mixture where nobody is held, of
the same round.

Refused: a mixture none of whose warming requests is answered.
"""

import json
from collections.abc import Sequence
from random import Random

from bench.arrivals import ScheduleRefused, closed_loop
from bench.figures import Figure
from bench.load import Target, run_load
from bench.machine import read_machine
from bench.options import Parser, add_run_options, command_line, whole
from bench.program import BenchFailed, own_folder
from bench.records import Ask, Summary, median_of, summarise
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, choose_busy, figures_of, measure_in_turn, say
from bench.stack import RANDOM_MODELS, Stack, find_model
from bench.table import Table, figure

NAME = "structured"
STREAMS_MAX = 64
TOKENS_MAX = 2_000
ANSWERS_PER_STREAM = 8
ANSWERS_MAX = 1_000
PROMPT_CHARS = 60
WARM_TOKENS = 8
PLAIN, HELD = "medium", "low"  # the classes under which they are asked, and told apart
LISTED_MIN = 10_000
SCHEMA = {"type": "array", "minItems": LISTED_MIN, "items": {
    "type": "object", "additionalProperties": False, "required": ["name", "kind", "parts"],
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "kind": {"enum": ["small", "large", None]},
        "parts": {"type": "array", "maxItems": 3, "items": {"type": "integer", "minimum": 0, "maximum": 999}},
    }}}

EXAMPLES = """
examples:
  python -m bench structured                      # 8 streams of 64 tokens, 1 M random weights
  python -m bench structured --model 26m --rounds 5
  python -m bench structured --model ~/models/phi-3.5
"""


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        schedule = [make_round(f"{options.seed}/{number}", options.streams, options.answers, options.tokens)
                    for number in range(options.rounds)]
        warming = make_round(f"{options.seed}/warm", options.streams, 1, WARM_TOKENS)
    except ScheduleRefused as refused:
        parser.error(str(refused))
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    say("starting what is to be measured")
    with own_folder() as folder:
        model = find_model(options.model, folder)
        body = f"path = {json.dumps(model)}\nbatch_size = {options.streams}"  # a JSON string is one of TOML, too
        with Stack.started({"measured": body}, max_running=options.streams) as stack:
            target = Target(NAME, "zmq", stack.clients, "measured")
            for name, asks in warming.items():
                warm_up(name, target, asks, options.streams)
            contestants = [Contestant(name, lambda number, name=name: measure(
                target, schedule[number][name], options.streams)) for name in warming]
            turns = measure_in_turn(contestants, options.rounds, stack.pids(),
                                    lambda name, one: f"{name}, {one.all.tokens_per_s or 0:.0f} tokens/s")
    rounds = figures_of(turns)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": options.model, "seed": options.seed,
        "settings": {"streams": options.streams, "tokens": options.tokens, "answers_per_stream": options.answers,
                     "rounds": options.rounds, "prompt_chars": PROMPT_CHARS, "temperature": 0, "schema": SCHEMA},
        "busy": choose_busy(turns), "mixtures": {name: [turn.record() for turn in of] for name, of in turns.items()},
        "figures": figures_of_mixtures(rounds)}
    finish(result, [table_of(rounds)], path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "What answers that are held to a schema cost the others of their batch.", EXAMPLES)
    parser.add_argument("--model", default=RANDOM_MODELS[0], help="1m or 26m (random weights; default %(default)s), a "
                        "directory with weights, or a Hugging Face id that is in the cache")
    parser.add_argument("--streams", type=whole(2, STREAMS_MAX), default=8, help="answers at once (%(default)s)")
    parser.add_argument("--tokens", type=whole(1, TOKENS_MAX), default=64, help="length of an answer (%(default)s)")
    parser.add_argument("--answers", type=whole(1, ANSWERS_MAX), default=ANSWERS_PER_STREAM,
                        help="of each stream, per mixture and round (%(default)s)")
    add_run_options(parser)
    return parser


def make_round(seed: str, streams: int, answers: int, tokens: int) -> dict[str, list[Ask]]:
    """By mixture, its requests: the first of each `streams` in a row is held, or none, or all. Raises:
    ScheduleRefused.
    """
    made = {}
    for held in (0, 1, streams):
        name = f"{held} of {streams} held"
        asks = closed_loop(Random(f"{seed}/{name}"), streams * answers, {PLAIN: 1.0}, PROMPT_CHARS, tokens)
        made[name] = [ask._replace(klass=HELD, schema=SCHEMA) if number % streams < held else ask
                      for number, ask in enumerate(asks)]
    return made


def measure(target: Target, asks: list[Ask], streams: int) -> Summary:
    return summarise(run_load(target, asks, streams=streams).heard)


def warm_up(name: str, target: Target, asks: list[Ask], streams: int) -> None:
    """Some answers that do not count. Raises: BenchFailed if there are none."""
    say(f"warming up: {name}")
    warmed = measure(target, asks, streams)
    if not warmed.all.done:
        raise BenchFailed(f"{name}: nothing is answered: {', '.join(warmed.all.details)}")


def between_ms(one: Summary, klass: str) -> float | None:
    """What half of the gaps between two texts of these answers are shorter than; None if there are none."""
    group = one.classes.get(klass)
    return group.between_ms.p50 if group else None


def figures_of_mixtures(rounds: dict[str, Sequence[Summary]]) -> list[Figure]:
    """Tokens per second, and what plain answers wait between two tokens, beside the mixture without held ones."""
    nobody, *others = rounds
    found = []
    for name in others:
        rates, gaps = ([[read(one) for one in rounds[each]] for each in (name, nobody)] for read in (
            lambda one: one.all.tokens_per_s, lambda one: between_ms(one, PLAIN)))
        found.append(Figure(f"tokens/s, {name}", "higher", rates[0], "tokens/s", rates[1], nobody))
        if any(gaps[0]):
            found.append(Figure(f"between tokens of plain answers, {name}", "lower", gaps[0], "ms", gaps[1], nobody))
    return found


def table_of(rounds: dict[str, Sequence[Summary]]) -> Table:
    rows = [[name, figure(median_of(one.all.tokens_per_s for one in of)),
             figure(median_of(between_ms(one, PLAIN) for one in of)),
             figure(median_of(between_ms(one, HELD) for one in of)),
             str(sum(one.all.done for one in of)), str(sum(one.all.n - one.all.done for one in of))]
            for name, of in rounds.items()]
    return Table("", ["mixture", "tokens\nper s", "between ms\nplain", "between ms\nheld", "answers", "failed"], rows)
