"""`python -m bench turns`: what the second turn of a long conversation costs beside its first, also after an eviction.

In each round, one after the other on one worker:

1. A conversation of so many tokens is new; its first token is the reference of the round. Then its second turn.
2. Two conversations share a system prompt of so many tokens: the second of them.
3. The model is evicted and loaded again. First a new conversation of the same length (what a loaded model that knows
   nothing needs), then the third turn of the one from 1.

Beside each time stands how much of the prompt was not computed again, as the usage of the answer says
(`prompt_tokens_details.cached_tokens` over HTTP). Answers are greedy. What was kept must change no answer: the second
turn is asked of the same weights without a prefix cache too, and once more after the reload; an answer that differs
ends the bench with exit code 1.
"""

import asyncio
from argparse import Namespace
from collections.abc import Callable, Sequence
from random import Random

from bench.figures import Figure
from bench.machine import Watch, busy_sentence, read_machine
from bench.options import Parser, add_run_options, command_line, number, whole
from bench.program import BenchFailed, own_folder
from bench.records import median_of
from bench.report import choose_path, finish, utc_now
from bench.rounds import say
from bench.stack import RANDOM_MODELS, Stack, make_model
from bench.streams import Stream, hear, said, sized_text
from bench.table import Table, figure
from gateway.client import GatewayClient, GatewayError
from gateway.protocol import Message

NAME = "turns"
PROMPT_MAX_TOKENS = 3_000  # of a context of 4,096
TURN_TARGET = 0.25
QUESTIONS = ("And what happened the day after?", "Please tell it again in one sentence.")
WARM_PART = 10  # how much shorter the prompt is that warms up

FIRST, SECOND, NEXT_TALK = "first turn", "second turn", "another talk, same system prompt"
NEW_AFTER, THIRD_AFTER = "first turn of a new one after the reload", "third turn, after evict and reload"
AGAIN, PLAIN = "second turn again, after the reload", "second turn, without a prefix cache"
KINDS = (FIRST, SECOND, NEXT_TALK, NEW_AFTER, THIRD_AFTER, AGAIN, PLAIN)  # in the order of asking
KEEPS, FORGETS = "keeps", "forgets"  # the models of the stack, of the same weights

EXAMPLES = """
examples:
  python -m bench turns                           # 1,000 tokens, 1 M random weights
  python -m bench turns --model 26m --prompt-tokens 2000 --rounds 5
  python -m bench turns --disk 0                  # nothing is kept on disk: the reload forgets
"""

Talk = dict[str, Stream]  # of one round, by kind


def main(arguments: list[str]) -> int:
    """Measure, tell, write. 1: an answer changed or was none. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    say("starting a stack")
    with own_folder() as folder:
        body = f'path = "{make_model(options.model, folder)}"'
        models = {KEEPS: body, FORGETS: f"{body}\nprefix_cache = false"}
        with Stack.started(models, min_residency_s=0, grace_s=0, prefix_cache_disk_gb=options.disk) as stack:
            watch = Watch(stack.pids())
            try:
                rounds = asyncio.run(measure(stack.clients, options))
            except GatewayError as problem:
                raise BenchFailed(str(problem)) from None
            busy = busy_sentence(watch.others_share())
    faults = faults_of(rounds)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": options.model, "seed": options.seed,
        "settings": {"prompt_tokens": options.prompt_tokens, "answer_tokens": options.tokens, "rounds": options.rounds,
                     "prefix_cache_disk_gb": options.disk, "idle_s": options.idle, "temperature": 0},
        "busy": [busy] if busy else [], "figures": figures(rounds, options),
        "verdict": verdict(faults), "rounds": [{kind: figures_of(one) for kind, one in talk.items()}
                                               for talk in rounds]}
    finish(result, [table_of(rounds, faults)], path)
    return 1 if faults else 0


def make_parser() -> Parser:
    parser = Parser(NAME, "The second turn of a long conversation beside its first; also after an eviction.", EXAMPLES)
    parser.add_argument("--model", choices=RANDOM_MODELS, default=RANDOM_MODELS[0], help="random weights (%(default)s)")
    parser.add_argument("--prompt-tokens", type=whole(50, PROMPT_MAX_TOKENS), default=1_000,
                        help="about, of the first turn and of the shared system prompt (%(default)s)")
    parser.add_argument("--tokens", type=whole(1, 256), default=32, help="of each answer (%(default)s)")
    parser.add_argument("--disk", type=number(0, 1024), default=1.0,
                        help="prefix_cache_disk_gb of the stack (%(default)g); 0: nothing is kept on disk")
    parser.add_argument("--idle", type=number(0, 600), default=2.0,
                        help="seconds between the last answer and the eviction (%(default)g)")
    add_run_options(parser)
    return parser


# -- measuring -----------------------------------------------------------------------------------------------------


async def measure(endpoint: str, options: Namespace) -> list[Talk]:
    """Raises: GatewayError: an order or a count was refused."""
    async with GatewayClient(endpoint) as client:
        say("warming up")  # a worker learns how many tokens one chunk of a prompt may have
        await talk(client, options, "warm", options.prompt_tokens // WARM_PART)
        rounds = []
        for turn in range(options.rounds):
            rounds.append(await talk(client, options, str(turn), options.prompt_tokens))
            say(f"round {turn + 1} of {options.rounds}: " + ", ".join(
                f"{kind} {figure(one.first_ms)} ms" for kind, one in rounds[-1].items()))
    return rounds


async def talk(client: GatewayClient, options: Namespace, turn: str, prompt_tokens: int) -> Talk:
    """One round. Raises: GatewayError."""
    random = Random(f"{options.seed}/{turn}")
    story, system, other = [await sized_text(client, KEEPS, random, prompt_tokens) for _ in range(3)]

    async def ask(*messages: Message, model: str = KEEPS) -> Stream:
        return await hear(client, model=model, **said(list(messages), options.tokens))

    opening = Message("user", story)
    first = await ask(opening)
    second_turn = (opening, Message("assistant", first.text), Message("user", QUESTIONS[0]))
    second = await ask(*second_turn)
    await ask(Message("system", system), Message("user", QUESTIONS[0]))
    shared = await ask(Message("system", system), Message("user", QUESTIONS[1]))
    await asyncio.sleep(options.idle)
    await client.evict(KEEPS)
    await client.load(KEEPS)
    new = await ask(Message("user", other))
    third = await ask(*second_turn, Message("assistant", second.text), Message("user", QUESTIONS[1]))
    again, plain = await ask(*second_turn), await ask(*second_turn, model=FORGETS)
    return dict(zip(KINDS, (first, second, shared, new, third, again, plain), strict=True))


# -- telling -------------------------------------------------------------------------------------------------------


def faults_of(rounds: Sequence[Talk]) -> list[str]:
    faults = [f"{kind}, round {number}: not answered: {one.error}" for number, talk in enumerate(rounds, 1)
              for kind, one in talk.items() if not one.done]
    return faults + [f"{kind}, round {number}: other tokens than from {PLAIN}"
                     for number, talk in enumerate(rounds, 1) for kind in (SECOND, AGAIN)
                     if talk[kind].done and talk[PLAIN].done and talk[kind].ids != talk[PLAIN].ids]


def verdict(faults: Sequence[str]) -> str:
    return f"NOT GOOD: {'; '.join(faults)}" if faults else "GOOD: what was kept changed no answer"


def figures_of(one: Stream) -> dict[str, object]:
    return {"first_ms": one.first_ms, "prompt_tokens": one.prompt_tokens, "cached_tokens": one.cached_tokens,
            "error": one.error}


def figures(rounds: Sequence[Talk], options: Namespace) -> list[Figure]:
    """Each time beside that of the first turn, which nothing was kept for."""
    first = [talk[FIRST].first_ms for talk in rounds]
    what = f"{options.prompt_tokens:,} tokens, {options.model}"
    kept = "third turn after evict, reload" + ("" if options.disk else ", no disk")
    targets = {SECOND: TURN_TARGET, NEXT_TALK: TURN_TARGET, THIRD_AFTER: TURN_TARGET if options.disk else None,
               NEW_AFTER: None, PLAIN: None}
    names = {SECOND: SECOND, NEXT_TALK: "same system prompt", THIRD_AFTER: kept, NEW_AFTER: "first turn after reload",
             PLAIN: "no prefix cache"}
    return [Figure(f"TTFT, {names[kind]}, {what}", "lower", [talk[kind].first_ms for talk in rounds], "ms", first,
                   FIRST, target) for kind, target in targets.items()]


def table_of(rounds: Sequence[Talk], faults: Sequence[str]) -> Table:
    """Medians of the rounds."""
    def median(kind: str, read: Callable[[Stream], float | None]) -> str:
        return figure(median_of(read(talk[kind]) for talk in rounds))

    rows = [(kind, median(kind, lambda one: one.first_ms), median(kind, lambda one: one.prompt_tokens),
             median(kind, lambda one: one.cached_tokens)) for kind in KINDS]
    return Table(verdict(faults), ("", "first token\nms", "prompt\ntokens", "of them\nkept"), rows)
