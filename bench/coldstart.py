"""`python -m bench coldstart`: a request for a model that is not loaded, from the question to its first token.

One stack with the model and an echo model, and `prewarm = 1`: one process stands ready, without a model. Before each
cold request both are unloaded, and whichever was asked last is the one that control prewarms. So its guess is right if
that was the model itself, and wrong if it was the other: then a process has to be started first. Each is asked over
ZeroMQ and over HTTP. In the same rounds the reference: mlx_lm alone loads the model and says a first token, in a fresh
process that has imported everything (`bench.ref_cold`).

Where the time goes is read from control's journal and told step by step. The files are in the page cache, since they
have just been read; what a disk adds is its own. Prompts are not remembered: that is `turns`.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.arrivals import closed_loop
from bench.eviction_journal import JournalTail
from bench.figures import Figure
from bench.generator import Plan, open_asker
from bench.machine import family, read_machine
from bench.options import Parser, add_run_options, command_line
from bench.program import BenchFailed, own_folder
from bench.records import Ask, percentile
from bench.ref_cold import NAME as BARE
from bench.ref_cold import measure_bare
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, choose_busy, figures_of, measure_in_turn, say
from bench.stack import ECHO, RANDOM_MODELS, Stack, find_model
from bench.table import Table, figure
from control.states import Phase
from control.table import Table as SharedTable
from gateway.client import BlockingClient, GatewayError

NAME = "coldstart"
MODEL = "measured"
PRESSURE = 0.5  # what else this machine's memory holds is no part of this
PROMPT_CHARS = 60
TOKENS = 4
TARGET = 1.2
REFERENCE = "mlx_lm alone"
STEPS = {  # in their order: what a cold request waits for
    "decide": "asked to ordered: gateway, control",
    "process": "process: started, imports of ours, hello",
    "imports": "process: the rest of its imports",
    "load": "load: weights, tokenizer, warm-up",
    "first": "loaded to first text: gate, prompt, token",
}
GUESSES = {"right": MODEL, "wrong": ECHO}  # whose process stands ready
QUIET_S = 0.4
LOOK_EVERY_S = 0.05
SETTLED_WITHIN_S = 120.0
TOLD_WITHIN_S = 5.0  # the journal's line may be later than the token

EXAMPLES = """
examples:
  python -m bench coldstart                       # 26 M random weights, 3 rounds
  python -m bench coldstart --model ~/models/phi-3.5 --rounds 5
"""


class Cold(NamedTuple):
    """One cold request. Milliseconds; of the bare reference only `first_ms` and its load are known."""

    first_ms: float
    steps_ms: dict[str, float]


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    asks = closed_loop(Random(options.seed), options.rounds, {"medium": 1.0}, PROMPT_CHARS, TOKENS)
    say("starting what is to be measured")
    with own_folder() as folder:
        model = find_model(options.model, folder)
        body = f"path = {json.dumps(model)}\nprefix_cache = false"  # a JSON string is one of TOML, too
        with Stack.started({MODEL: body, ECHO: ""}, pressure=PRESSURE, loaded=(), prewarm=1) as stack:
            ways = (("zmq", stack.clients, ""), ("http", stack.url, ", HTTP"))
            contestants = [
                Contestant(f"prewarm {guess}{over}", partial(measure_cold, stack, kind, address, guess, asks))
                for guess in GUESSES for kind, address, over in ways]
            contestants.append(Contestant(BARE, partial(measure_bare_cold, model, asks, folder)))
            for kind, address, _ in ways:  # nothing else is cold: imports of http, the first worker of this home
                asyncio.run(ask_once(kind, address, MODEL, asks[0]))
            turns = measure_in_turn(contestants, options.rounds, stack.pids(),
                                    lambda name, one: f"{name}, {one.first_ms:.0f} ms")
    rounds = figures_of(turns)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": options.model, "seed": options.seed,
        "settings": {"rounds": options.rounds, "prompt_chars": PROMPT_CHARS, "temperature": 0, "prewarm": 1,
                     "files": "in the page cache"},
        "busy": choose_busy(turns), "requests": {name: [turn.record() for turn in of] for name, of in turns.items()},
        "figures": figures(rounds, options.model)}
    finish(result, [table_of(rounds), steps_table(rounds)], path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "A request for a model that is not loaded, from the question to its first token.", EXAMPLES)
    parser.add_argument("--model", default=RANDOM_MODELS[1], help="1m or 26m (random weights; default %(default)s), a "
                        "directory with weights, or a Hugging Face id that is in the cache")
    add_run_options(parser)
    return parser


# -- measuring -----------------------------------------------------------------------------------------------------


def measure_cold(stack: Stack, kind: str, address: str, guess: str, asks: Sequence[Ask], number: int) -> Cold:
    """Raises: BenchFailed if the request is not answered, or the stack does not come to rest."""
    make_cold(stack, GUESSES[guess])
    journal = JournalTail(stack.control_log)
    journal.read()
    asked_at, first_s = asyncio.run(ask_once(kind, address, MODEL, asks[number]))
    lines, give_up_at = [], time.monotonic() + TOLD_WITHIN_S
    while not (steps := steps_of(lines, asked_at, first_s)) and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_S)
        lines += journal.read()
    journal.close()
    return Cold(first_s * 1000, steps)


def measure_bare_cold(model: str, asks: Sequence[Ask], folder: Path, number: int) -> Cold:
    began = measure_bare(model, asks[number].prompt, folder)
    return Cold(began.first_s * 1000, {"load": began.load_s * 1000, "first": (began.first_s - began.load_s) * 1000})


async def ask_once(kind: str, address: str, model: str, ask: Ask) -> tuple[float, float]:
    """When it was asked (seconds since 1970), and how long its first text took. Raises: BenchFailed."""
    async with open_asker(Plan(kind, address, model, {}, 1, [])) as asker:
        asked_at, start = time.time(), time.monotonic()
        heard = await asker.hear(ask, None, start)
    if heard.outcome != "done" or heard.first_s is None:
        raise BenchFailed(f"{model} over {kind} was not answered: {heard.detail or 'no text came'}")
    return asked_at + heard.sent_s, heard.first_s - heard.sent_s


def make_cold(stack: Stack, guess: str) -> None:
    """Neither model is loaded, and only `guess` has a process, which is at rest. The model was asked last, so far.

    Raises: BenchFailed.
    """
    if guess != MODEL:
        asyncio.run(ask_once("zmq", stack.clients, guess, Ask(0.0, "medium", "hello", 1)))
    try:
        with BlockingClient(stack.clients) as client:
            for model, (phase, _) in read_rows(stack).items():
                if phase is Phase.READY:
                    client.unload(model)
    except GatewayError as error:
        raise BenchFailed(f"a model could not be unloaded: {error}") from None
    give_up_at, used_s, quiet_since = time.monotonic() + SETTLED_WITHIN_S, -1.0, time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        rows = read_rows(stack)
        now_s = sum(sum(process.cpu_times()[:2]) for process in family([pid for _, pid in rows.values() if pid]))
        phases = {model: phase for model, (phase, _) in rows.items()}
        at_rest = all(phase is (Phase.EMPTY if model == guess else Phase.DOWN) for model, phase in phases.items())
        if now_s != used_s or not at_rest:
            used_s, quiet_since = now_s, time.monotonic()
        if time.monotonic() > give_up_at:
            raise BenchFailed(f"the stack does not come to rest within {SETTLED_WITHIN_S:g} s: {phases}")
        time.sleep(LOOK_EVERY_S)


def read_rows(stack: Stack) -> dict[str, tuple[Phase | None, int]]:
    """By model: the phase of its row, and the pid of its process."""
    table = SharedTable.open(stack.table_path)
    try:
        now_ns = time.monotonic_ns()
        return {row.name: (row.phase(now_ns), row.control.pid if row.control else 0)
                for row in table.snapshot().rows if row.name in (MODEL, ECHO)}
    finally:
        table.close()


# -- telling -------------------------------------------------------------------------------------------------------


def steps_of(lines: Sequence[Mapping[str, object]], asked_at: float, first_s: float) -> dict[str, float]:
    """What the request waited for, in milliseconds by the names of STEPS; {} while the journal has not said it all.

    `asked_at`: seconds since 1970, the journal's clock.
    """
    at: dict[str, float] = {}
    load_s = 0.0
    for line in lines:
        event, said_at = str(line.get("event")), read_time(line)
        if line.get("model") == MODEL and said_at >= asked_at and event in ("start", "welcome", "load", "loaded"):
            at.setdefault(event, said_at - asked_at)
            load_s = float(line.get("load_s") or load_s)
    if not {"load", "loaded"} <= at.keys():
        return {}
    ordered_s = at.get("start", at["load"])
    began_s = max(at["load"], at["loaded"] - load_s)
    steps_s = {"decide": ordered_s, "process": at["load"] - ordered_s, "imports": began_s - at["load"],
               "load": at["loaded"] - began_s, "first": first_s - at["loaded"]}
    return {name: seconds * 1000 for name, seconds in steps_s.items()}


def read_time(line: Mapping[str, object]) -> float:
    """Seconds since 1970; 0 if it says none."""
    try:
        return datetime.fromisoformat(str(line.get("timestamp"))).timestamp()
    except ValueError:
        return 0.0


def figures(rounds: Mapping[str, Sequence[Cold]], model: str) -> list[Figure]:
    bare = [one.first_ms for one in rounds[BARE]]
    targets = {"prewarm right": TARGET}
    return [Figure(f"cold request to first token, {name}, {model}", "lower", [one.first_ms for one in of], "ms", bare,
                   REFERENCE, targets.get(name)) for name, of in rounds.items() if name != BARE]


def table_of(rounds: Mapping[str, Sequence[Cold]]) -> Table:
    rows = [(name, str(len(of)), figure(percentile([one.first_ms for one in of], 50)),
             figure(percentile([one.first_ms for one in of], 95))) for name, of in rounds.items()]
    return Table("From the question to the first text", ("", "requests", "ms\np50", "p95"), rows)


def steps_table(rounds: Mapping[str, Sequence[Cold]]) -> Table:
    names = list(rounds)
    rows = [(what, *(figure(percentile([one.steps_ms[step] for one in rounds[name] if step in one.steps_ms], 50))
                     for name in names)) for step, what in STEPS.items()]
    return Table("Where the time goes, ms, p50", ("", *(name.replace(", ", "\n") for name in names)), rows)
