"""`python -m bench priority`: what a HIGH request waits while LOW ones run and queue, and what that costs them.

In each round, for each case:

1. HIGH requests one after another on an idle stack: the reference.
2. As many LOW callers as run and queue, each asking again when it is answered; when all places are taken and the queue
   is as long as it shall be, the same number of HIGH requests, one after another, with random pauses.
3. The LOW requests that were answered, once more, without any HIGH one: every answer must have the same tokens.

The cases: LOW and HIGH ask one model, whose batch is full; LOW asks one model and HIGH another, and all running places
are taken; the first case with preemption switched off, in a stack of its own. Half of the LOW answers are greedy, half
are drawn with a seed. Exit code 1: a LOW answer differs, or was lost.
"""

import asyncio
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from bench.figures import Figure
from bench.low_load import LowLoad, Question, ask_again, questions
from bench.machine import read_machine
from bench.options import Parser, add_run_options, command_line, number, whole
from bench.program import BenchFailed, own_folder
from bench.records import Spread, median_spread, percentile, spread_ms
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, Rounds, choose_busy, figures_of, measure_in_turn, say
from bench.stack import RANDOM_MODELS, Stack, make_model
from bench.streams import Stream, asked, hear, text_of
from bench.table import Table, figure
from control.table import GatewayWords
from control.table import Table as StackTable
from gateway.client import GatewayClient, GatewayError

NAME = "priority"
HIGH_ON, LOW_ELSEWHERE = "asked", "other"  # the two models of a stack
ONE, TWO, OFF = "one model", "two models", "preemption off"
CASES = (ONE, TWO, OFF)
RUNNING_MAX, QUEUED_MAX = 64, 10_000
PROMPT_CHARS = 60
TTFT_TARGET = 1.5  # times that of an idle system
FULL_WITHIN_S = 60.0
FULL_POLL_EVERY_S = 0.02

EXAMPLES = """
examples:
  python -m bench priority                        # 5 LOW running, 50 queued, 1 M random weights
  python -m bench priority --model 26m --cases 'one model' --rounds 5
"""


class Case(NamedTuple):
    """What one case did in one round. Milliseconds; counts of the gateway's own, over the part with HIGH and LOW.

    `pause_max_ms`: the longest pause between two tokens of a LOW answer; `calm_max_ms`: the same without HIGH.
    """

    idle: Spread
    loaded: Spread
    high_max_ms: float | None
    preemptions: int
    resumptions: int
    lows: int
    pause_max_ms: float | None
    calm_max_ms: float | None
    differing: int
    errors: list[str]


def main(arguments: list[str]) -> int:
    """Measure, tell, write. 1: a LOW answer differs or was lost. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    turns = {}
    with own_folder() as folder:
        weights = make_model(options.model, folder)
        if set(options.cases) & {ONE, TWO}:
            with started(weights, options, preemption=True) as stack:
                turns |= measured(stack, [case for case in options.cases if case != OFF], options, options.rounds)
        if OFF in options.cases:
            with started(weights, options, preemption=False) as stack:
                turns |= measured(stack, [OFF], options, rounds=1)  # only to be seen beside the others
    rounds = figures_of(turns)
    faults = faults_of(rounds)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": options.model, "seed": options.seed,
        "settings": {"max_running": options.running, "batch_size": options.running, "low_queued": options.queued,
                     "high_requests": options.requests, "high_tokens": options.high_tokens,
                     "low_tokens": options.low_tokens, "pause_s": options.pause, "rounds": options.rounds},
        "busy": choose_busy(turns), "figures": figures(rounds, options), "verdict": verdict(faults),
        "cases": {name: [turn.record() for turn in of] for name, of in turns.items()}}
    finish(result, [table_of(rounds, faults)], path)
    return 1 if faults else 0


def make_parser() -> Parser:
    parser = Parser(NAME, "What HIGH waits while LOW runs and queues, and what that costs LOW.", EXAMPLES)
    parser.add_argument("--model", choices=RANDOM_MODELS, default=RANDOM_MODELS[0], help="random weights (%(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="(default: all)")
    parser.add_argument("--running", type=whole(1, RUNNING_MAX), default=5, help="LOW at once (%(default)s)")
    parser.add_argument("--queued", type=whole(0, QUEUED_MAX), default=50, help="LOW waiting (%(default)s)")
    parser.add_argument("--requests", type=whole(1, 10_000), default=20, help="HIGH, of a round (%(default)s)")
    parser.add_argument("--high-tokens", type=whole(1, 1_000), default=16, help="of a HIGH answer (%(default)s)")
    parser.add_argument("--low-tokens", type=whole(1, 3_000), default=192, help="of a LOW answer (%(default)s)")
    parser.add_argument("--pause", type=number(0, 60), default=0.05,
                        help="mean seconds between two HIGH requests (%(default)g)")
    add_run_options(parser)
    return parser


def started(weights: object, options: Namespace, *, preemption: bool):
    """A stack with two models of the same weights. Raises: BenchFailed."""
    say("starting a stack" + ("" if preemption else " with preemption off"))
    body = f'path = "{weights}"\nbatch_size = {options.running}'
    return Stack.started({HIGH_ON: body, LOW_ELSEWHERE: body}, max_running=options.running,
                         max_queued=2 * options.queued + options.running, preemption=str(preemption).lower())


# -- measuring -----------------------------------------------------------------------------------------------------


def measured(stack: Stack, cases: Sequence[str], options: Namespace, rounds: int) -> Rounds[Case]:
    """Raises: BenchFailed."""
    def run(case: str, turn: str, requests: int) -> Case:
        try:
            return asyncio.run(measure(stack, case, options, f"{options.seed}/{case}/{turn}", requests))
        except GatewayError as problem:
            raise BenchFailed(f"{case}: {problem}") from None

    say("warming up")
    for case in cases:
        run(case, "warm", 2)
    return measure_in_turn([Contestant(case, lambda turn, case=case: run(case, str(turn), options.requests))
                            for case in cases], rounds, stack.pids(), told)


async def measure(stack: Stack, case: str, options: Namespace, seed: str, requests: int) -> Case:
    """One round of one case. Raises: BenchFailed, GatewayError."""
    random = Random(seed)
    low_model = LOW_ELSEWHERE if case == TWO else HIGH_ON
    table = StackTable.open(stack.table_path)
    async with GatewayClient(stack.clients) as client:
        idle = await ask_high(client, random, options, requests)
        before = table.read(GatewayWords)
        async with LowLoad(client, questions(seed, low_model, options.low_tokens),
                           options.running + options.queued) as lows:
            await wait_full(client, options)
            loaded = await ask_high(client, random, options, requests)
        after = table.read(GatewayWords)
        calm = await ask_again(client, list(lows.answered), options.running)
    table.close()
    return case_of(idle, loaded, lows, calm, after.preemptions - before.preemptions,
                   after.resumptions - before.resumptions)


async def ask_high(client: GatewayClient, random: Random, options: Namespace, requests: int) -> list[Stream]:
    """One after another, a random pause before each. Raises: BenchFailed: one was not answered."""
    found = []
    for _ in range(requests):
        await asyncio.sleep(random.expovariate(1 / options.pause) if options.pause else 0)
        found.append(await hear(client, model=HIGH_ON, priority="high",
                                **asked(text_of(random, PROMPT_CHARS), options.high_tokens)))
        if not found[-1].done:
            raise BenchFailed(f"a HIGH request was not answered: {found[-1].error}")
    return found


async def wait_full(client: GatewayClient, options: Namespace) -> None:
    """Until so many LOW run and so many are queued. Raises: BenchFailed."""
    give_up_at = time.monotonic() + FULL_WITHIN_S
    while True:
        now = await client.stats()
        if now.running[2] >= options.running and now.queued[2] >= options.queued:
            return
        if time.monotonic() > give_up_at:
            raise BenchFailed(f"only {now.running[2]} LOW run and {now.queued[2]} wait")
        await asyncio.sleep(FULL_POLL_EVERY_S)


def case_of(idle: Sequence[Stream], loaded: Sequence[Stream], lows: LowLoad, calm: Mapping[Question, Stream],
            preemptions: int, resumptions: int) -> Case:
    waits = [one.first_ms for one in loaded]
    differing = sum(calm[asked].done and calm[asked].ids != one.ids for asked, one in lows.answered.items())
    errors = lows.errors + [one.error or "no end" for one in calm.values() if not one.done]
    return Case(spread_ms(one.first_ms / 1000 for one in idle), spread_ms(wait / 1000 for wait in waits), max(waits),
                preemptions, resumptions, len(lows.answered), longest_pause_ms(lows.answered.values()),
                longest_pause_ms(calm.values()), differing, errors)


def longest_pause_ms(answers: Sequence[Stream]) -> float | None:
    return percentile([(after - before) * 1000 for one in answers
                       for before, after in zip(one.frame_s, one.frame_s[1:], strict=False)], 100)


# -- telling -------------------------------------------------------------------------------------------------------


def told(name: str, one: Case) -> str:
    return (f"{name}, HIGH first token p95 {figure(one.loaded.p95)} ms, idle {figure(one.idle.p95)} ms; "
            f"{one.preemptions} pauses, {one.differing} of {one.lows} LOW answers differ")


def faults_of(rounds: Mapping[str, Sequence[Case]]) -> list[str]:
    faults = []
    for name, of in rounds.items():
        differing, lows = sum(one.differing for one in of), sum(one.lows for one in of)
        errors = [error for one in of for error in one.errors]
        if differing:
            faults.append(f"{name}: {differing} of {lows} LOW answers have other tokens than undisturbed")
        if errors:
            faults.append(f"{name}: {len(errors)} LOW requests were not answered: {errors[0]}")
    return faults


def verdict(faults: Sequence[str]) -> str:
    return f"NOT GOOD: {'; '.join(faults)}" if faults else "GOOD: every LOW answer has the tokens it has undisturbed"


def figures(rounds: Mapping[str, Sequence[Case]], options: Namespace) -> list[Figure]:
    where = f"{options.queued} LOW queued, {options.running} running, {options.model}"
    found = []
    for name, of in rounds.items():
        for part, target in (("p95", None if name == OFF else TTFT_TARGET), ("p50", None)):
            found.append(Figure(f"HIGH TTFT {part}, {where}" + ("" if name == ONE else f", {name}"), "lower",
                                [getattr(one.loaded, part) for one in of], "ms",
                                [getattr(one.idle, part) for one in of], "idle", target))
    return found


def table_of(rounds: Mapping[str, Sequence[Case]], faults: Sequence[str]) -> Table:
    """Times are medians of the rounds, counts of all rounds; the longest are of all rounds."""
    rows = []
    for name, of in rounds.items():
        idle, loaded = (median_spread([getattr(one, what) for one in of]) for what in ("idle", "loaded"))
        counts = [sum(getattr(one, what) for one in of) for what in ("preemptions", "resumptions", "lows", "differing")]
        rows.append((name, *map(figure, (idle.p50, idle.p95, loaded.p50, loaded.p95)),
                     figure(max(one.high_max_ms for one in of)), *map(str, counts),
                     *(figure(max((value for one in of if (value := getattr(one, what)) is not None), default=None))
                       for what in ("pause_max_ms", "calm_max_ms"))))
    return Table(verdict(faults), ("HIGH first token, ms", "idle\np50", "p95", "loaded\np50", "p95", "max", "pauses",
                                   "resumed", "LOW\nanswers", "differ", "LOW pause\nmax, ms", "without\nHIGH"), rows)
