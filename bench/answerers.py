"""Who is measured by `bench throughput`, and what one of them did in one round.

For a model they are, in this order: a bare `BatchGenerator`, a stack of ours over ZeroMQ and over HTTP,
`mlx_lm.server`, and the servers that were named. All run at the same time, on the same weights where they are started
here, and rest while another is measured. Each has answered some requests before the clock starts; one that answers none
is refused.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from bench.load import Loaded, Target, check_target, run_load
from bench.machine import module_cpu_s, server_pids
from bench.program import BenchFailed, own_folder
from bench.records import Ask, Summary, summarise
from bench.ref_batch import NAME as BARE
from bench.ref_batch import Batch, bare_batch
from bench.ref_server import mlx_lm_server
from bench.rounds import say
from bench.stack import RANDOM_MODELS, Stack, find_model

ZMQ, HTTP = "warden-zmq", "warden"
GATEWAY, FACE, WORKER = "gateway", "gateway.http", "workers"  # the modules that the processes of a stack run
QUEUED_MIN = 50


class Round(NamedTuple):
    """What one target did in one round. `tokens` are those of answers that ended well. `cpu_s`: of the stack's
    processes, by module, while it ran; empty for others.
    """

    tokens: int
    wall_s: float
    done: int
    failed: int
    details: dict[str, int]
    generator_cpu_s: float | None = None  # None: nothing generates load beside it
    summary: Summary | None = None
    cpu_s: Mapping[str, float] = {}

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.wall_s if self.wall_s else 0.0

    def cpu_us(self, *modules: str) -> float | None:
        """Microseconds of CPU of these modules for each token; None if it was not measured."""
        if not self.cpu_s or not self.tokens:
            return None
        return sum(self.cpu_s.get(module, 0.0) for module in modules) / self.tokens * 1e6


Answer = Callable[[list[Ask], int], Round]  # answers all requests, so many at once; returns when the last has ended


def start(running: ExitStack, model: str, others: Sequence[Target], own_stack: bool, streams: int, max_running: int,
          ) -> tuple[dict[str, Answer], list[int]]:
    """Start the references (if there is a model for them) and our stack. Returns all in their order, and their pids.

    `streams`: the most that will be asked for. Raises: BenchFailed.
    """
    found: dict[str, Answer] = {}
    targets, pids, stack_pids = list(others), [], []
    batch_max = min(streams, max_running)
    if model:
        folder = running.enter_context(own_folder())
        path = find_model(model, folder)
        batch = running.enter_context(bare_batch(path, batch_max, folder))
        found[BARE] = lambda asks, streams: measure_batch(batch, asks, min(streams, batch_max))
        server, program = running.enter_context(mlx_lm_server(path, batch_max, folder))
        targets.insert(0 if own_stack else 1, server)
        pids = [batch.pid, program.pid]
    if own_stack:
        name = model if model in RANDOM_MODELS else "measured"
        body = f"path = {json.dumps(path)}\nbatch_size = {batch_max}\nprefix_cache = false"  # JSON text is TOML, too
        stack = running.enter_context(Stack.started(
            {name: body}, max_running=max_running, max_queued=max(QUEUED_MIN, streams)))
        targets = [Target(ZMQ, "zmq", stack.clients, name), Target(HTTP, "http", stack.url, name), *targets]
        stack_pids = stack.pids()
    elif others:
        stack_pids = server_pids(others[0].address)
    pids += [*stack_pids, *(pid for target in others for pid in server_pids(target.address))]
    ours = {ZMQ: stack_pids, HTTP: stack_pids}
    return found | {target.name: loaded_by(check_target(target), ours.get(target.name, [])) for target in targets}, pids


def loaded_by(target: Target, stack_pids: Sequence[int]) -> Answer:
    """A server, asked by the load generator. `stack_pids`: of our stack, if it is that."""
    def answer(asks: list[Ask], streams: int) -> Round:
        before = module_cpu_s(stack_pids)
        loaded = run_load(target, asks, streams=streams)
        after = module_cpu_s(stack_pids)
        return round_of(loaded, {module: after[module] - before[module] for module in after})
    return answer


def round_of(loaded: Loaded, cpu_s: Mapping[str, float]) -> Round:
    summary = summarise(loaded.heard)
    every = summary.all
    return Round(every.tokens, summary.wall_s, every.done, every.n - every.done, every.details,
                 loaded.generator_cpu_s, summary, cpu_s)


def measure_batch(batch: Batch, asks: list[Ask], streams: int) -> Round:
    measured = batch.run(asks, streams)
    return Round(measured.tokens, measured.wall_s, len(asks), 0, {})


def warm_up(answerers: Mapping[str, Answer], asks: list[Ask], streams: int) -> None:
    """Let each answer some requests that do not count. Raises: BenchFailed if one of them answers none."""
    for name, answer in answerers.items():
        say(f"warming up {name}")
        warmed = answer(asks, streams)
        if not warmed.done:
            raise BenchFailed(f"{name} answers nothing: {', '.join(warmed.details)}")
