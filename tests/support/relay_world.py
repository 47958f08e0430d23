"""A world of control with a relay in it, and what its process and supervisord's list say."""

from control import messages
from control.rows import RowState
from control.states import Phase
from control.supervisord import ProcessFact, ProcessState
from control.table import RowWorker
from tests.support.control_world import World

OLLAMA, URL = "relay-ollama", "http://127.0.0.1:11434"


def world_of_a_relay(*slugs: str, **settings) -> World:
    world = World(*slugs, ollama_url=URL, **settings)
    world.gateway_up()
    return world


def row_of(world: World) -> RowState:
    return world.r.relays.rows[OLLAMA]


def reports(world: World, phase: Phase, epoch: int = 0, error: str = "") -> None:
    row = row_of(world)
    world.r.on_frame(row.peer, messages.Report(1, OLLAMA, row.incarnation, phase, 0, error, epoch or world.r.epoch),
                     world.now)


def to_ready(world: World) -> bytes:
    identity = world.hello(OLLAMA)
    reports(world, Phase.EMPTY)
    reports(world, Phase.READY)
    return identity


def has_words(world: World, phase: Phase) -> None:
    """What its process says in the table."""
    row = row_of(world)
    world.words[OLLAMA] = RowWorker(**dict.fromkeys(RowWorker._fields, 0) | {
        "incarnation": row.incarnation, "phase": phase, "heartbeat_ns": int(world.now * 1e9)})


def fact(state: ProcessState, start_s: int = 1, status: int = 0, pid: int = 0) -> ProcessFact:
    return ProcessFact(OLLAMA, state, pid, start_s, 0, status)
