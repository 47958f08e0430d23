"""`python -m bench swap`: two models that do not fit together, and callers who want both in turn.

Each caller asks one model, then the other, and so on, so that nobody is served unless the models take turns. What is
shown: everybody gets an answer, how long the waits are by model, and that no model leaves sooner after its load than
the minimum residency allows, which is what keeps two such models from loading all the time.

Exit code 1 if a request was not answered, a model answered nobody, or one left too soon.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.eviction_journal import Evicted, JournalTail, evictions_in, refusals_in, steps_of, steps_table
from bench.machine import Watch, busy_sentence, read_machine
from bench.options import Parser, add_output_options, command_line, number, whole
from bench.records import Spread, percentile, spread_ms
from bench.report import choose_path, finish, utc_now
from bench.rounds import say
from bench.stack import RANDOM_MODELS, Stack
from bench.table import Table, figure
from bench.table_samples import SAMPLES_PER_S, Sample, stays_of, table_sampled
from gateway.client import GatewayClient, GatewayError
from gateway.protocol import Done, Message, Options, Tokens

NAME = "swap"
SHARE_GIB = 0.75  # of each model
BUDGET_GIB = 1.25  # of both together
PRESSURE = 0.5  # what else this machine's memory holds is no part of this
RESIDENCY_SLACK_S = 0.25  # samples, heartbeats and the end of the load are not of the same moment

EXAMPLES = """
examples:
  python -m bench swap
  python -m bench swap --seconds 300 --clients 8 --residency 20 --grace 30
"""


class Answer(NamedTuple):
    """Seconds since the run began. `first_s` None: no text came. `error` "": answered."""

    model: str
    sent_s: float
    first_s: float | None
    end_s: float
    error: str = ""


class Turns(NamedTuple):
    """What became of one model. `wait_ms`: from asking to the first text; `loads`: within the run."""

    asked: int
    answered: int
    wait_ms: Spread
    wait_max_ms: float | None
    loads: int
    shortest_stay_s: float | None
    errors: list[str]


def main(arguments: list[str]) -> int:
    """Run, tell, write. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    settings = {"memory_budget_gb": BUDGET_GIB, "min_residency_s": options.residency, "grace_s": options.grace}
    models = dict.fromkeys(RANDOM_MODELS, f"batch_size = {options.clients}\nmemory_gb = {SHARE_GIB}")
    say("starting a stack")
    with Stack.started(models, options.clients, pressure=PRESSURE, loaded=RANDOM_MODELS[:1], **settings) as stack:
        watch, journal = Watch(stack.pids()), JournalTail(stack.control_log)
        journal.read()
        with table_sampled(stack.table_path) as samples:
            say(f"{options.clients} clients ask {' and '.join(models)} in turn for {options.seconds:g} s")
            answers = asyncio.run(ask_in_turn(stack.clients, options.clients, options.seconds, options.max_tokens))
        lines, busy = journal.read(), busy_sentence(watch.others_share())
    turns = {name: turns_of(name, answers, samples[name]) for name in models}
    evicted, faults = evictions_in(lines), faults_of(turns, options.residency)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": " and ".join(models), "seed": "none",
        "settings": {"clients": options.clients, "seconds": options.seconds, "max_tokens": options.max_tokens,
                     "memory_gb": SHARE_GIB, **settings, "samples_per_s": SAMPLES_PER_S},
        "busy": [busy] if busy else [],
        "targets": {"warden": {"verdict": verdict(faults), "models": turns, "steps": steps_of(evicted),
                               "refusals": refusals_in(lines), "evictions": evicted, "answers": answers,
                               "stays": {name: stays_of(samples[name]) for name in models}}}}
    finish(result, tables_of(turns, faults, evicted), path)
    return 1 if faults else 0


def make_parser() -> Parser:
    parser = Parser(NAME, "Two models that do not fit together, asked in turn: waits, loads, residency.", EXAMPLES)
    parser.add_argument("--clients", type=whole(1, 256), default=4, help="(%(default)s)")
    parser.add_argument("--seconds", type=number(1, 86_400), default=60.0,
                        help="in which they ask; the run ends with the last answer (%(default)g)")
    parser.add_argument("--residency", type=number(0, 86_400), default=10.0, help="min_residency_s (%(default)g)")
    parser.add_argument("--grace", type=number(0, 86_400), default=5.0, help="grace_s (%(default)g)")
    parser.add_argument("--max-tokens", type=whole(1, 1_000_000), default=16, help="of each answer (%(default)s)")
    add_output_options(parser)
    return parser


# -- asking --------------------------------------------------------------------------------------------------------


async def ask_in_turn(endpoint: str, clients: int, seconds: float, max_tokens: int) -> list[Answer]:
    """All that was asked within `seconds`, in the order of the ends."""
    answers: list[Answer] = []
    began_s = time.monotonic()

    async def caller(number_of: int) -> None:
        turn = number_of
        while time.monotonic() - began_s < seconds:
            answers.append(await ask(client, RANDOM_MODELS[turn % 2], turn, max_tokens, began_s))
            turn += 1

    async with GatewayClient(endpoint) as client, asyncio.TaskGroup() as group:
        for each in range(clients):
            group.create_task(caller(each))
    return answers


async def ask(client: GatewayClient, model: str, turn: int, max_tokens: int, began_s: float) -> Answer:
    sent_s, first_s, error = time.monotonic() - began_s, None, "no end"
    try:
        async for event in client.generate(model=model, messages=[Message("user", f"turn {turn}")],
                                           options=Options(max_tokens=max_tokens, temperature=0.0)):
            if isinstance(event, Tokens) and first_s is None:
                first_s = time.monotonic() - began_s
            elif isinstance(event, Done):
                error = "" if event.finish_reason != "cancelled" else "cancelled"
    except GatewayError as problem:
        error = str(problem)
    return Answer(model, sent_s, first_s, time.monotonic() - began_s, error)


# -- telling -------------------------------------------------------------------------------------------------------


def turns_of(model: str, answers: Sequence[Answer], samples: Sequence[Sample]) -> Turns:
    of_model = [answer for answer in answers if answer.model == model]
    waits_s = [answer.first_s - answer.sent_s for answer in of_model if answer.first_s is not None]
    longest = percentile(waits_s, 100)
    stays_s = [stay.until_s - stay.from_s for stay in stays_of(samples) if stay.ended and stay.from_s > samples[0].at_s]
    return Turns(len(of_model), sum(not answer.error for answer in of_model), spread_ms(waits_s),
                 None if longest is None else longest * 1000, samples[-1].loads - samples[0].loads,
                 min(stays_s, default=None), [answer.error for answer in of_model if answer.error])


def faults_of(turns: Mapping[str, Turns], residency_s: float) -> list[str]:
    """`residency_s`: how long a model must stay after its load."""
    faults = []
    for name, one in turns.items():
        if one.errors:
            faults.append(f"{len(one.errors)} requests for {name} were not answered: {one.errors[0]}")
        if not one.answered:
            faults.append(f"{name} answered nobody")
        if one.shortest_stay_s is not None and one.shortest_stay_s < residency_s - RESIDENCY_SLACK_S:
            faults.append(f"{name} left {one.shortest_stay_s:.1f} s after its load; {residency_s:g} s are its minimum")
    if not any(one.loads for one in turns.values()):
        faults.append("no model made room for the other")
    return faults


def verdict(faults: Sequence[str]) -> str:
    return f"NOT GOOD: {'; '.join(faults)}" if faults else (
        "GOOD: every request was answered, and no model left before its minimum residency")


def tables_of(turns: Mapping[str, Turns], faults: Sequence[str], evicted: Sequence[Evicted]) -> list[Table]:
    rows = [(name, str(one.asked), str(one.answered), figure(one.wait_ms.p50), figure(one.wait_ms.p95),
             figure(one.wait_max_ms), str(one.loads), figure(one.shortest_stay_s)) for name, one in turns.items()]
    return [
        Table(verdict(faults), ("", "asked", "answered", "wait, ms\np50", "p95", "max", "loads", "shortest\nstay, s"),
              rows),
        steps_table(evicted, "MLX workers"),
    ]
