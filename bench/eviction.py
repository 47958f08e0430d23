"""`python -m bench eviction`: does an eviction ever cost an answer? Thousands are tried on models that work.

Control, gateway and echo workers run as they do for users, under supervisord. A process of clients asks for short
streamed answers and checks every word (`eviction_check.py`); meanwhile this one orders models away that had traffic a
moment ago, and kills workers and control at random (`eviction_orders.py`). Evicted models come back because requests
wait for them. What control's journal says about the steps of each eviction is read as it grows.

Exit code 0 means: as many evictions as asked for, some orders refused, not one answer lost. `--without` switches keys
off, by a variable that only this sets; the same run must then lose answers, or it shows nothing.

It is not a measurement of speed: on a small machine workers that start take most of it, and the times of the steps are
those of a machine that has no time.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

import multiprocess

from bench import eviction_report
from bench.eviction_check import Loss, judge
from bench.eviction_journal import Evicted, JournalTail, evictions_in, refusals_in
from bench.eviction_load import DRAIN_WITHIN_S, News, Plan, decode_news, encode, generate
from bench.eviction_orders import Operator
from bench.eviction_report import Clients, Seen, faults_of
from bench.machine import Watch, busy_sentence, read_machine
from bench.options import SEED_DEFAULT, Parser, add_output_options, command_line, number, whole
from bench.program import BenchFailed
from bench.report import choose_path, finish, utc_now
from bench.rounds import say
from bench.stack import Stack
from gateway.client import BlockingClient, GatewayClient, GatewayError

NAME = "eviction"
KEYS = ("gate", "worker")
BEGUN = "clients ask, and an operator orders evictions"
LOOK_EVERY_S = 0.1
SAY_EVERY_S = 10.0
END_WITHIN_S = 5.0
MODELS_MAX = 32
MAX_RUNNING = 256
BATCH_MAX = 32
PRESSURE = 0.5  # what else this machine's memory holds is no part of the test
SETTINGS = {"max_queued": 20_000, "min_residency_s": 0, "grace_s": 0, "keep_alive": "-1"}

EXAMPLES = """
examples:
  python -m bench eviction
  python -m bench eviction --evictions 500 --models 4 --rate 200
  python -m bench eviction --evictions 100 --kills 0 --without gate,worker
"""


def main(arguments: list[str]) -> int:
    """Run, tell, write. 0: nothing was lost; 1: something was, or too little was tried. Raises: BenchFailed."""
    options = read_options(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    say(f"starting a stack of {options.models} echo models")
    with stack_of(options) as stack:
        watch = Watch(stack.pids())
        seen = asyncio.run(Race(stack, options).run())
        busy = busy_sentence(watch.others_share())
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": "echo engine", "seed": options.seed,
        "settings": {name: getattr(options, name) for name in
                     ("evictions", "rate", "models", "kills", "at_once", "without", "seconds")} | SETTINGS,
        "busy": [busy] if busy else [], "targets": {"warden": eviction_report.figures(seen)}}
    finish(result, eviction_report.tables_of(seen), path)
    if seen.interrupted:
        raise KeyboardInterrupt
    return 1 if faults_of(seen) else 0


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, "Thousands of evictions of models that work: is an answer ever lost?", EXAMPLES)
    parser.add_argument("--evictions", type=whole(1, 1_000_000), default=5_000,
                        help="how many that count: the worker had traffic within 100 ms (%(default)s)")
    parser.add_argument("--rate", type=number(1, 10_000), default=500.0, help="requests per second (%(default)g)")
    parser.add_argument("--models", type=whole(2, MODELS_MAX), default=8, help="(%(default)s)")
    parser.add_argument("--kills", type=number(0, 100), default=3.0, metavar="PERCENT",
                        help="SIGKILLs, in per cent of the evictions; a quarter of them of control (%(default)g)")
    parser.add_argument("--at-once", type=whole(1, MODELS_MAX), default=3,
                        help="orders on their way at any time (%(default)s)")
    parser.add_argument("--seconds", type=number(1, 86_400), default=7_200.0,
                        help="give up after this time (%(default)g)")
    parser.add_argument("--without", default="", metavar="KEYS",
                        help="switch keys off, gate or gate,worker: answers must then be lost")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT,
                        help="of requests, orders and kills; their times are not repeatable (%(default)s)")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.without and not set(options.without.split(",")) <= set(KEYS):
        parser.error(f"--without: {options.without!r} is not {KEYS[0]} or {','.join(KEYS)}")
    return options


@contextmanager
def stack_of(options: argparse.Namespace) -> Iterator[Stack]:
    models = {f"m{number}": f'engine = "echo"\nbatch_size = {BATCH_MAX}' for number in range(options.models)}
    settings = SETTINGS | {"prewarm": options.models}
    if options.without:
        settings["test_keys_off"] = options.without
    with Stack.started(models, MAX_RUNNING, pressure=PRESSURE, **settings) as stack:
        yield stack


@dataclass
class Race:
    """One run, from the first request to the last answer."""

    stack: Stack
    options: argparse.Namespace
    losses: list[Loss] = field(default_factory=list)
    evicted: list[Evicted] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    news: News | None = None

    async def run(self) -> Seen:
        """Ctrl-C ends the asking, not the waiting for what is outstanding. Raises: BenchFailed."""
        journal, interrupted = JournalTail(self.stack.control_log), False
        journal.read()  # what was before is not of this run
        with generator(self._plan()) as pipe:
            async with GatewayClient(self.stack.clients) as client:
                operator = Operator(self.stack, client, Random(f"{self.options.seed}/orders"), self.options.kills)
                lanes = [asyncio.create_task(operator.order_for_ever()) for _ in range(self.options.at_once)]
                try:
                    await self._watch(pipe, journal, operator, lanes)
                except asyncio.CancelledError:
                    interrupted = True
                finally:
                    for lane in lanes:
                        lane.cancel()
                    await asyncio.gather(*lanes, return_exceptions=True)
                    operator.close()
            self._drain(pipe)
        self._read(journal)
        judgement = judge(self.losses, operator.kills)
        return Seen(self.options.evictions, self.options.without, self._clients(), self.evicted, self.refusals,
                    operator.outcomes, operator.kills, judgement, self._lost_to_eviction(), interrupted)

    def _plan(self) -> Plan:
        models = [f"m{number}" for number in range(self.options.models)]
        return Plan(self.stack.clients, models, self.options.rate, f"{self.options.seed}/asks")

    async def _watch(self, pipe: object, journal: JournalTail, operator: Operator,
                     lanes: Sequence[asyncio.Task[None]]) -> None:
        """Until there are enough evictions, or no time is left. Raises: BenchFailed, or what ended the operator."""
        say(BEGUN)
        began_s = said_s = time.monotonic()
        while (counted := sum(one.counts for one in self.evicted)) < self.options.evictions:
            now_s = time.monotonic()
            if now_s - said_s >= SAY_EVERY_S:
                said_s = now_s
                say(self._progress(counted, operator, now_s - began_s))
            if now_s - began_s > self.options.seconds:
                say(f"no time left after {self.options.seconds:g} s")
                return
            for lane in lanes:
                if lane.done():
                    lane.result()
            while pipe.poll():
                self._hear(pipe)
            self._read(journal)
            await asyncio.sleep(LOOK_EVERY_S)

    def _progress(self, counted: int, operator: Operator, since_s: float) -> str:
        clients = self._clients()
        outstanding = clients.sent - clients.ended
        suspects = len(judge(self.losses, operator.kills).lost)
        return (f"{since_s:.0f} s: {counted} of {self.options.evictions} evictions, {self.refusals.total()} refused, "
                f"{len(operator.kills)} kills, {clients.sent} requests, {outstanding} outstanding, {suspects} lost")

    def _read(self, journal: JournalTail) -> None:
        lines = journal.read()
        self.evicted += evictions_in(lines)
        self.refusals += refusals_in(lines)

    def _hear(self, pipe: object) -> None:
        try:
            self.news = decode_news(pipe.recv_bytes())
        except (EOFError, OSError):
            raise BenchFailed("the process of the clients ended; its last words are above") from None
        self.losses += self.news.losses

    def _drain(self, pipe: object) -> None:
        """No more requests; hear how the outstanding ones end."""
        say("waiting for the answers that are outstanding")
        with suppress(BrokenPipeError):  # `_hear` says so
            pipe.send_bytes(b"")
        give_up_at = time.monotonic() + DRAIN_WITHIN_S + END_WITHIN_S
        while self.news is None or not self.news.is_last:
            if not pipe.poll(max(give_up_at - time.monotonic(), 0)):
                raise BenchFailed("the process of the clients does not come to its end")
            self._hear(pipe)

    def _clients(self) -> Clients:
        news = self.news
        return Clients() if news is None else Clients(*(getattr(news, name) for name in Clients._fields))

    def _lost_to_eviction(self) -> int | None:
        try:
            with BlockingClient(self.stack.clients) as client:
                return client.stats().lost_to_eviction
        except GatewayError:
            return None


@contextmanager
def generator(plan: Plan) -> Iterator[object]:
    """The process of the clients, and the pipe to it; gone after the block."""
    context = multiprocess.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=generate, args=(theirs,), name="clients")
    process.start()
    theirs.close()
    try:
        ours.send_bytes(encode(plan))
        yield ours
    finally:
        ours.close()
        process.join(END_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            process.join(END_WITHIN_S)
