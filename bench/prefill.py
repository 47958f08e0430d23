"""`python -m bench prefill`: how long a long prompt stops the answers that are under way.

Some streams run on one worker when a long prompt arrives. What is compared: their pauses between two tokens before it
arrives and while it is read, and the longest of those with the time that one chunk of prefill is to take
(`workers/prefill_pace.py`); and when the long prompt's own first token comes, with that of a like prompt alone on the
worker. Each round asks something new, so that no cache of prompts helps.

Refused: a round whose streams end before the long prompt is read.
"""

import asyncio
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from bench.figures import Figure
from bench.machine import read_machine
from bench.options import Parser, add_run_options, command_line, number, whole
from bench.plot import Line, Plot
from bench.program import BenchFailed
from bench.records import Spread, median_of, percentile, spread_ms
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, choose_busy, figures_of, measure_in_turn, say
from bench.stack import RANDOM_MODELS, Stack
from bench.streams import Stream, asked, gaps_ms, hear, sized_text, text_of
from bench.table import Table, figure
from gateway.client import GatewayClient, GatewayError
from workers.prefill_pace import STEP_BESIDE_S

NAME = "prefill"
STREAMS_MAX = 64
PROMPT_MAX_TOKENS = 3_000  # of a context of 4,096
WARM_PART = 10  # how much shorter the prompt is that warms up
ANSWER_TOKENS = 8  # of the long prompt
STREAM_TOKENS = 3_900  # more than come in the time: they are left when the long prompt is answered
STREAM_PROMPT_CHARS = 60
SETTLED_TOKENS = 16  # from there on a stream counts as running
SETTLED_WITHIN_S = 60.0
POLL_EVERY_S = 0.005
PAUSE_TARGET = 2.0  # times the time of one chunk
TARGET_MS = STEP_BESIDE_S * 1000

EXAMPLES = """
examples:
  python -m bench prefill                         # 4 streams, a prompt of 2,000 tokens, 1 M random weights
  python -m bench prefill --models 1m 26m --rounds 1
  python -m bench prefill --streams 8 --prompt-tokens 3000 --rounds 5
"""


class Pauses(NamedTuple):
    """What one model did in one round; milliseconds. `points`: (seconds since the long prompt was sent, the pause)."""

    alone_ms: float | None
    beside_ms: float | None
    before: Spread
    before_max_ms: float | None
    during: Spread
    during_max_ms: float | None
    prompt_tokens: int
    points: list[tuple[float, float]]


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    say("starting a stack")
    rows = options.streams + 1
    bodies = dict.fromkeys(options.models, f"batch_size = {rows}")
    with Stack.started(bodies, max_running=rows) as stack:
        contestants = [Contestant(name, lambda turn, name=name: measure(
            stack.clients, name, options, str(turn), options.prompt_tokens)) for name in options.models]
        for name in options.models:
            say(f"warming up {name}")  # a worker learns how many tokens one chunk may have
            measure(stack.clients, name, options, "warm", options.prompt_tokens // WARM_PART)
        turns = measure_in_turn(contestants, options.rounds, stack.pids(), told)
    rounds = figures_of(turns)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": ", ".join(options.models), "seed": options.seed,
        "settings": {"streams": options.streams, "prompt_tokens": options.prompt_tokens, "before_s": options.before,
                     "rounds": options.rounds, "chunk_target_ms": TARGET_MS, "temperature": 0},
        "busy": choose_busy(turns), "figures": figures(rounds, options.streams, options.prompt_tokens),
        "rounds": {name: [turn.record() for turn in of] for name, of in turns.items()},
        "plots": plots_of(rounds)}
    finish(result, [table_of(rounds)], path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "How long a long prompt stops the answers that are under way.", EXAMPLES)
    parser.add_argument("--models", nargs="+", choices=RANDOM_MODELS, default=list(RANDOM_MODELS[:1]),
                        help="random weights, each model in turn (1m; the other takes minutes on a CPU)")
    parser.add_argument("--streams", type=whole(1, STREAMS_MAX), default=4, help="that run already (%(default)s)")
    parser.add_argument("--prompt-tokens", type=whole(50, PROMPT_MAX_TOKENS), default=2_000,
                        help="about, of the prompt that arrives (%(default)s)")
    parser.add_argument("--before", type=number(0.1, 60), default=1.0,
                        help="seconds in which their usual pauses are measured (%(default)g)")
    add_run_options(parser)
    return parser


# -- measuring -----------------------------------------------------------------------------------------------------


def measure(endpoint: str, model: str, options: Namespace, turn: str, prompt_tokens: int) -> Pauses:
    """Raises: BenchFailed."""
    random = Random(f"{options.seed}/{model}/{turn}")
    try:
        return asyncio.run(arrive(endpoint, model, options.streams, prompt_tokens, options.before, random))
    except GatewayError as problem:
        raise BenchFailed(f"{model}: {problem}") from None


async def arrive(endpoint: str, model: str, streams: int, prompt_tokens: int, before_s: float, random: Random,
                 ) -> Pauses:
    """A long prompt alone, then another beside `streams` answers. Raises: BenchFailed, GatewayError."""
    async with GatewayClient(endpoint) as client:
        long_prompts = [asked(await sized_text(client, model, random, prompt_tokens), ANSWER_TOKENS) for _ in range(2)]
        alone = await hear(client, model=model, **long_prompts[0])
        running = [Stream() for _ in range(streams)]
        tasks = [asyncio.create_task(hear(client, one, model=model, **asked(
            text_of(random, STREAM_PROMPT_CHARS), STREAM_TOKENS))) for one in running]
        try:
            await wait_settled(running)
            settled_s = time.monotonic()
            await asyncio.sleep(before_s)
            beside = await hear(client, model=model, **long_prompts[1])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if not (alone.done and beside.done):
        raise BenchFailed(f"{model}: the long prompt was not answered: {alone.error or beside.error}")
    if any(one.ended for one in running):
        raise BenchFailed(f"{model}: a stream ended before the long prompt was read; fewer --prompt-tokens, or less "
                          "--before")
    return pauses_of(alone, beside, running, settled_s)


async def wait_settled(running: Sequence[Stream]) -> None:
    """Until all have said SETTLED_TOKENS. Raises: BenchFailed."""
    give_up_at = time.monotonic() + SETTLED_WITHIN_S
    while any(len(one.ids) < SETTLED_TOKENS for one in running):
        errors = [one.error for one in running if one.error]
        if errors or time.monotonic() > give_up_at:
            raise BenchFailed(f"the streams do not run: {errors[0] if errors else 'no tokens'}")
        await asyncio.sleep(POLL_EVERY_S)


def pauses_of(alone: Stream, beside: Stream, running: Sequence[Stream], settled_s: float) -> Pauses:
    """`settled_s`: when all streams ran. "During" is from sending the long prompt to its first token."""
    sent_s, first_s = beside.sent_s, beside.frame_s[0]
    before = [gap for one in running for gap in gaps_ms(
        [at for at in one.frame_s if settled_s <= at <= sent_s], settled_s, sent_s)]
    during = [gap for one in running for gap in gaps_ms(one.frame_s, sent_s, first_s)]
    points = [(after - sent_s, (after - earlier) * 1000) for one in running[:1]
              for earlier, after in zip(one.frame_s, one.frame_s[1:], strict=False)]
    return Pauses(alone.first_ms, beside.first_ms, spread_ms(gap / 1000 for gap in before), percentile(before, 100),
                  spread_ms(gap / 1000 for gap in during), percentile(during, 100), beside.prompt_tokens, points)


def chunk_target_ms(one: Pauses) -> float:
    """A chunk beside streams is to take so long, or as long as a step of theirs that reads nothing."""
    return max(TARGET_MS, one.before.p50 or 0.0)


# -- telling -------------------------------------------------------------------------------------------------------


def told(name: str, one: Pauses) -> str:
    return (f"{name}, longest pause {figure(one.during_max_ms)} ms while {one.prompt_tokens} tokens were read "
            f"(before: {figure(one.before_max_ms)} ms)")


def figures(rounds: Mapping[str, Sequence[Pauses]], streams: int, prompt_tokens: int) -> list[Figure]:
    found = []
    for name, of in rounds.items():
        where = f"{streams} streams, {prompt_tokens:,}-token prompt, {name}"
        found += [
            Figure(f"longest pause, {where}", "lower", [one.during_max_ms for one in of],
                   "ms", [chunk_target_ms(one) for one in of], "chunk target", PAUSE_TARGET),
            Figure(f"p95 pause, {where}", "lower", [one.during.p95 for one in of], "ms",
                   [one.before.p95 for one in of], "before"),
            Figure(f"TTFT of the long prompt, {where}", "lower",
                   [one.beside_ms for one in of], "ms", [one.alone_ms for one in of], "alone"),
        ]
    return found


def table_of(rounds: Mapping[str, Sequence[Pauses]]) -> Table:
    """Medians of the rounds; the longest pause is that of all rounds."""
    rows = []
    for name, of in rounds.items():
        for when, spread, longest in (("before", lambda one: one.before, lambda one: one.before_max_ms),
                                      ("during", lambda one: one.during, lambda one: one.during_max_ms)):
            of_all = [longest(one) for one in of if longest(one) is not None]
            rows.append((f"{name}, {when}", *(figure(median_of(values)) for values in zip(*(
                spread(one)[:2] for one in of), strict=True)), figure(max(of_all, default=None)),
                figure(median_of(one.alone_ms if when == "before" else one.beside_ms for one in of))))
    return Table("Pauses of the running streams; and the long prompt's first token, alone and beside them",
                 ("", "pause, ms\np50", "p95", "max", "first token\nms"), rows)


def plots_of(rounds: Mapping[str, Sequence[Pauses]]) -> list[Plot]:
    """One stream of the last round, of each model."""
    lines = [Line(name, of[-1].points) for name, of in rounds.items()]
    shown = [line._replace(points=[point for point in line.points if point[0] >= 0]) for line in lines]
    return [Plot("pauses", "What one running stream waits for each token from the arrival of the long prompt on",
                 "seconds since it was sent", "ms since the token before", shown)]
