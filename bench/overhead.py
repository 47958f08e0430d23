"""`python -m bench overhead`: what the path from a caller to a worker and back costs, when the model costs nothing.

A stack with the echo engine answers one token, over ZeroMQ and over HTTP, one request at a time; beside it a bare relay
of three processes (`ref_relay.py`) and a bare web server (`ref_echo.py`) do the least that such a path can do. Then the
ZeroMQ path and the relay again, saturated: so many requests outstanding at any time. All in turn, in each round; what
is compared is compared within a round, and the figure of several rounds is the median.

It is not the latency of answers (`python -m bench latency`), and measures a stack of its own only: the echo engine and
a running limit as high as the number of outstanding requests are not what anybody runs.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from random import Random
from typing import NamedTuple

from bench.arrivals import closed_loop
from bench.figures import Figure
from bench.load import Loaded, Target, run_load
from bench.machine import read_machine
from bench.options import Parser, add_run_options, command_line, whole
from bench.program import BenchFailed, own_folder
from bench.records import Ask, Spread, median_of, median_spread, spread_ms, summarise
from bench.ref_echo import NAME as ECHO_SERVER
from bench.ref_echo import uvicorn_echo
from bench.ref_relay import NAME as RELAY
from bench.ref_relay import Relay, bare_relay
from bench.report import choose_path, finish, utc_now
from bench.rounds import Contestant, Turn, choose_busy, figures_of, measure_in_turn, say
from bench.stack import ECHO, Stack
from bench.table import Table, figure

NAME = "overhead"
OURS_ZMQ, OURS_HTTP = "warden-zmq", "warden"
SATURATED = ", saturated"
OUTSTANDING_MAX = 256  # the largest batch of our worker
REQUESTS_MAX = 100_000
PROMPT_CHARS = 60
WARM_REQUESTS = 200
ZMQ_MOST, SATURATED_LEAST, HTTP_MOST = 1.8, 0.5, 1.5  # of the bare ones

EXAMPLES = """
examples:
  python -m bench overhead
  python -m bench overhead --requests 10000 --rounds 5
  python -m bench overhead --outstanding 16 --json /tmp/overhead.json
"""


class Path(NamedTuple):
    """What one path did in one round. Times from sending a request to the end of its answer."""

    total_ms: Spread
    per_s: float
    done: int
    failed: int
    details: dict[str, int]
    generator_share: float | None = None  # of one core, while it ran; None: nothing generates load beside it


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    started_at = utc_now()
    json_path = choose_path(NAME, started_at, options.json, options.save)
    counts = {"": options.requests, SATURATED: options.saturated_requests}
    asks = {kind: closed_loop(Random(f"{options.seed}{kind}"), count, {"medium": 1.0}, PROMPT_CHARS, 1)
            for kind, count in counts.items()}
    with ExitStack() as running:
        say("starting what is to be measured")
        contestants, pids = start(running, asks, options.outstanding)
        turns = measure_in_turn(contestants, options.rounds, pids, told)
    paths = figures_of(turns)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": "echo engine, one token", "seed": options.seed,
        "settings": {"streams": 1, "outstanding": options.outstanding, "requests": options.requests,
                     "saturated_requests": options.saturated_requests, "rounds": options.rounds,
                     "prompt_chars": PROMPT_CHARS, "max_running": options.outstanding},
        "busy": choose_busy(turns), "targets": {name: figures(of_name) for name, of_name in turns.items()},
        "figures": figures_to_reach(paths), "readme": [readme_table(paths, options.outstanding)]}
    finish(result, tables_of(paths), json_path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "What the path to a worker costs, beside a bare relay and a bare web server.", EXAMPLES)
    parser.add_argument("--requests", type=whole(1, REQUESTS_MAX), default=2_000,
                        help="one at a time, per path and round (%(default)s)")
    parser.add_argument("--outstanding", type=whole(2, OUTSTANDING_MAX), default=64,
                        help="requests on their way at any time when saturated (%(default)s)")
    parser.add_argument("--saturated-requests", type=whole(1, REQUESTS_MAX), default=10_000,
                        help="when saturated, per path and round (%(default)s)")
    add_run_options(parser)
    return parser


# -- who is measured -----------------------------------------------------------------------------------------------


def start(running: ExitStack, asks: Mapping[str, list[Ask]], outstanding: int) -> tuple[list[Contestant], list[int]]:
    """Start our stack and the references, warm all of them up. Returns them, and the pids of their servers.

    Raises: BenchFailed.
    """
    stack = running.enter_context(Stack.started({ECHO: f"batch_size = {outstanding}"}, max_running=outstanding))
    folder = running.enter_context(own_folder())
    relay = running.enter_context(bare_relay(folder))
    echo, program = running.enter_context(uvicorn_echo(folder))
    ours_zmq, ours_http = Target(OURS_ZMQ, "zmq", stack.clients, ECHO), Target(OURS_HTTP, "http", stack.url, ECHO)
    for target in (ours_zmq, ours_http, echo):
        say(f"warming up {target.name}")
        measure_target(target, asks[SATURATED][:WARM_REQUESTS], 1)
    measure_relay(relay, WARM_REQUESTS, 1)
    alone, saturated = asks[""], asks[SATURATED]
    return [
        Contestant(OURS_ZMQ, lambda number: measure_target(ours_zmq, alone, 1)),
        Contestant(RELAY, lambda number: measure_relay(relay, len(alone), 1)),
        Contestant(OURS_HTTP, lambda number: measure_target(ours_http, alone, 1)),
        Contestant(ECHO_SERVER, lambda number: measure_target(echo, alone, 1)),
        Contestant(OURS_ZMQ + SATURATED, lambda number: measure_target(ours_zmq, saturated, outstanding)),
        Contestant(RELAY + SATURATED, lambda number: measure_relay(relay, len(saturated), outstanding)),
    ], [*stack.pids(), *relay.pids, program.pid]


def measure_target(target: Target, asks: list[Ask], streams: int) -> Path:
    """Raises: BenchFailed if nothing is answered."""
    path = path_of(run_load(target, asks, streams=streams))
    if not path.done:
        raise BenchFailed(f"{target.name} answers nothing: {', '.join(path.details)}")
    return path


def path_of(loaded: Loaded) -> Path:
    summary = summarise(loaded.heard)
    every = summary.all
    return Path(every.total_ms, every.done_per_s or 0.0, every.done, every.n - every.done, every.details,
                loaded.generator_cpu_s / summary.wall_s)


def measure_relay(relay: Relay, requests: int, outstanding: int) -> Path:
    relayed = relay.run(requests, outstanding)
    return Path(spread_ms(relayed.latencies_s), requests / relayed.wall_s, requests, 0, {})


# -- what is told --------------------------------------------------------------------------------------------------


def told(name: str, path: Path) -> str:
    if name.endswith(SATURATED):
        return f"{name}, {path.per_s:.0f} requests/s"
    return f"{name}, p50 {path.total_ms.p50 or 0.0:.3f} ms"


def figures(turns: Sequence[Turn[Path]]) -> dict[str, object]:
    """Of one path, for the JSON: the median, and every round."""
    paths = [turn.figures for turn in turns]
    return {"total_ms": median_spread([path.total_ms for path in paths]),
            "per_s": median_of(path.per_s for path in paths), "rounds": [turn.record() for turn in turns]}


def figures_to_reach(paths: Mapping[str, Sequence[Path]]) -> list[Figure]:
    """Ours beside the bare ones: p50 of a single request, and requests per second."""
    p50 = {name: [path.total_ms.p50 for path in of_name] for name, of_name in paths.items()}
    per_s = {name: [path.per_s for path in of_name] for name, of_name in paths.items()}
    return [
        Figure("one-token request over ZeroMQ to an echo worker and back, p50", "lower", p50[OURS_ZMQ], "ms",
               p50[RELAY], RELAY, ZMQ_MOST),
        Figure("requests/s over ZeroMQ to an echo worker and back, saturated", "higher", per_s[OURS_ZMQ + SATURATED],
               "requests/s", per_s[RELAY + SATURATED], RELAY, SATURATED_LEAST),
        Figure("one-token request over HTTP less the one over ZeroMQ, p50", "lower",
               differences_ms(paths, OURS_HTTP, OURS_ZMQ), "ms", p50[ECHO_SERVER], ECHO_SERVER, HTTP_MOST),
    ]


def differences_ms(paths: Mapping[str, Sequence[Path]], ours: str, theirs: str) -> list[float | None]:
    """What the p50 of one is above that of the other, in each round, in milliseconds."""
    return [None if one.total_ms.p50 is None or other.total_ms.p50 is None else one.total_ms.p50 - other.total_ms.p50
            for one, other in zip(paths[ours], paths[theirs], strict=True)]


def readme_table(paths: Mapping[str, Sequence[Path]], outstanding: int) -> Table:
    rows = [(name, milliseconds(median_spread([path.total_ms for path in of_name]).p50),
             figure(median_of(path.per_s for path in paths[name + SATURATED])) if name + SATURATED in paths else "")
            for name, of_name in paths.items() if not name.endswith(SATURATED)]
    return Table("`bench overhead`, one token of the echo engine; the relay is three bare processes with one frame "
                 "each way, the least that a queue in between can cost",
                 ("", "p50 one at a time, ms", f"requests/s, {outstanding} outstanding"), rows)


def tables_of(paths: Mapping[str, Sequence[Path]]) -> list[Table]:
    """Milliseconds have three decimals here: the relay takes fractions of one."""
    rows = []
    for name, of_name in paths.items():
        spread, per_s = median_spread([path.total_ms for path in of_name]), median_of(path.per_s for path in of_name)
        share = median_of(path.generator_share for path in of_name)
        rows.append([name, *map(milliseconds, spread), figure(per_s), str(sum(path.done for path in of_name)),
                     str(sum(path.failed for path in of_name)), "-" if share is None else f"{share:.0%}"])
    differences = [(f"{ours} - {theirs}", milliseconds(median_of(differences_ms(paths, ours, theirs))))
                   for ours, theirs in ((OURS_HTTP, OURS_ZMQ), (OURS_ZMQ, RELAY), (OURS_HTTP, ECHO_SERVER))]
    return [
        Table("From sending to the end of the answer, median of the rounds",
              ("", "p50, ms", "p95, ms", "p99, ms", "requests\nper s", "answers", "failed", "generator\nCPU"), rows),
        Table("Differences of p50, median of those of each round", ("", "ms"), differences),
    ]


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
