"""Sends a schedule of requests to one target from processes of their own, and brings back what was heard.

Guarantees: every ask comes back as exactly one `Heard`, whatever the server does; generators are warmed up (imports,
connections) before the clock starts, and start together; the CPU seconds they took are in the result, because on a
small machine they are taken from the server. No process of a run outlives it, however it ends.

Refused: a target that does not answer before the run, or sends elsewhere (`Unreachable`), so that nobody measures an
empty port. During a run nothing raises but the end of a generator itself (`LoadFailed`).
"""

import http.client
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import msgspec
import multiprocess

from bench.dialects import DIALECTS, error_words, first_model
from bench.generator import Plan, Results, encode, generate
from bench.http_load import ANSWER_WITHIN_S
from bench.program import BenchFailed
from bench.records import Ask, Heard
from gateway.client import BlockingClient, GatewayError

PROCESSES_MAX = 64
WARM_WITHIN_S = 60.0
START_AFTER_S = 0.1  # the time in which all generators hear the start
RESULTS_WITHIN_S = 60.0  # beyond the longest possible answer
END_WITHIN_S = 5.0
MODELS_WITHIN_S = 30.0
MODELS_MAX_BYTES = 8 * 1024 * 1024

decode_results = msgspec.msgpack.Decoder(Results).decode


class Target(NamedTuple):
    """Whom to ask. `kind`: how; of HTTP "" is to be found out (`check_target`), "http" is OpenAI's dialect. `model` "":
    the first that it lists; where it lists none, and over ZeroMQ, its own choice.
    """

    name: str
    kind: Literal["", "http", "ollama", "zmq"]
    address: str  # base URL without /v1; or the endpoint of clients.ipc
    model: str = ""
    headers: dict[str, str] = {}  # more request headers (HTTP), such as a key; never changed


class Loaded(NamedTuple):
    heard: list[Heard]  # in the order of the asks
    generator_cpu_s: float  # of all generators, while the run lasted


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key is for the server it was given for; and the generators follow none either."""

    def redirect_request(self, *_: object) -> None:
        """None: the redirect is an HTTPError."""


class Unreachable(BenchFailed):
    """Which server does not answer, and why."""


class LoadFailed(BenchFailed):
    """A load generator itself ended, and why."""


# -- before the run ------------------------------------------------------------------------------------------------


def check_target(target: Target) -> Target:
    """The target with its dialect, and with its model if the server lists one, after it has answered.

    A server that speaks both dialects is asked in OpenAI's, one that lists its models in neither too.
    Raises: Unreachable.
    """
    if target.kind == "zmq":
        return _check_gateway(target)
    for kind in [target.kind] if target.kind else DIALECTS:
        found = first_model(_list_models(target, DIALECTS[kind].models), DIALECTS[kind])
        if found is not None:
            return target._replace(kind=kind, model=target.model or found)
    return target._replace(kind=target.kind or "http")


def _list_models(target: Target, path: str) -> bytes:
    """What it says there; "" if it has no such path. Raises: Unreachable."""
    try:
        return _get(target, path)
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(MODELS_MAX_BYTES)
        if 300 <= error.code < 400:
            raise Unreachable(f"{target.name}: {target.address} sends elsewhere ({error.code}); give the URL that "
                              f"answers itself, it names {error.headers.get('Location', 'none')}") from None
        if error.code in (401, 403):
            raise Unreachable(f"{target.name}: {target.address} answers {error.code} {error_words(body)}; "
                              f"give its key by --key-of {target.name}=VARIABLE") from None
        return b""
    except (OSError, http.client.HTTPException) as problem:
        reason = getattr(problem, "reason", problem)
        raise Unreachable(f"{target.name}: {target.address} does not answer ({reason})") from None


def running_limit(target: Target) -> int | None:
    """What a running stack of ours says in /health; None of any other server."""
    try:
        health = msgspec.json.decode(_get(target, "/health"))
    except (OSError, http.client.HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        return None
    limit = health.get("max_concurrent") if isinstance(health, dict) else None
    return limit if isinstance(limit, int) else None


def _get(target: Target, path: str) -> bytes:
    """Raises OSError (an HTTPError is one) and HTTPException."""
    request = urllib.request.Request(f"{target.address}{path}", headers=target.headers)
    # Without the proxies of the environment: the generators use none, and what is measured is this very server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    with opener.open(request, timeout=MODELS_WITHIN_S) as answer:
        return answer.read(MODELS_MAX_BYTES)


def _check_gateway(target: Target) -> Target:
    try:
        with BlockingClient(target.address) as client:
            client.list_models()
    except GatewayError as error:
        raise Unreachable(f"{target.name}: {error.message}") from None
    return target


# -- the run -------------------------------------------------------------------------------------------------------


def run_load(target: Target, asks: list[Ask], streams: int = 0, processes: int = 1) -> Loaded:
    """Run it all; returns when the last has ended.

    `streams` 0: open loop, each ask goes at its `at_s` whatever the others do. `streams` > 0: closed loop, that many
    at once over all processes, the next goes when one ends. Raises: Unreachable, LoadFailed.
    """
    if not target.kind or target.kind != "zmq" and not target.model:
        target = check_target(target)
    processes = max(1, min(processes, PROCESSES_MAX, len(asks), streams or PROCESSES_MAX))
    plans = [Plan(target.kind, target.address, target.model, target.headers, share(streams, processes, number),
                  asks[number::processes]) for number in range(processes)]
    # Not forked: a fork would share the parent's sockets and threads, and would be warm in another way than a caller.
    context = multiprocess.get_context("spawn")
    generators: list[tuple[Any, Any]] = []
    try:
        for plan in plans:
            ours, theirs = context.Pipe()
            process = context.Process(target=generate, args=(theirs,), name="load generator")
            process.start()
            theirs.close()
            generators.append((process, ours))
            ours.send_bytes(encode(plan))
        for process, pipe in generators:
            _receive(process, pipe, time.monotonic() + WARM_WITHIN_S)
        start = time.monotonic() + START_AFTER_S
        for _, pipe in generators:
            pipe.send_bytes(encode(start))
        give_up_at = start + longest_run_s(asks, streams)
        results = [decode_results(_receive(process, pipe, give_up_at)) for process, pipe in generators]
    except (BrokenPipeError, ConnectionResetError):
        raise LoadFailed("a load generator ended before the run began") from None
    finally:
        _end(generators)
    return Loaded(in_order([one.heard for one in results]), sum(one.cpu_s for one in results))


def share(streams: int, processes: int, number: int) -> int:
    """How many of `streams` process `number` has, so that all are given away and none has two more than another."""
    return streams // processes + (number < streams % processes)


def in_order(parts: list[list[Heard]]) -> list[Heard]:
    """Dealt out in turn, so collected in turn."""
    rounds = max((len(part) for part in parts), default=0)
    return [part[place] for place in range(rounds) for part in parts if place < len(part)]


def longest_run_s(asks: list[Ask], streams: int) -> float:
    """When the last answer must have ended or failed: each takes ANSWER_WITHIN_S at most."""
    last_s = max((ask.at_s for ask in asks), default=0.0)
    turns = -(-len(asks) // streams) if streams else 1
    return last_s + turns * ANSWER_WITHIN_S + RESULTS_WITHIN_S


def _receive(process: Any, pipe: Any, give_up_at: float) -> bytes:
    """Raises: LoadFailed."""
    try:
        if pipe.poll(max(give_up_at - time.monotonic(), 0)):
            return pipe.recv_bytes()
    except (EOFError, OSError):  # OSError: the end came in the middle of a message
        process.join(END_WITHIN_S)
        raise LoadFailed(f"a load generator ended in mid-run (exit code {process.exitcode}); "
                         "its last words are above") from None
    raise LoadFailed("a load generator said nothing in time")


def _end(generators: list[tuple[Any, Any]]) -> None:
    """A generator leaves when its pipe ends; one that does not is killed."""
    for _, pipe in generators:
        pipe.close()
    for process, _ in generators:
        with suppress(ValueError):
            process.join(END_WITHIN_S)
            if process.exitcode is None:
                process.kill()
                process.join(END_WITHIN_S)
