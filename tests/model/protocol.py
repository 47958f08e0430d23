"""The model put together: rules and bounds in, a `checker.Model` out. Pure."""

from collections.abc import Callable

from tests.model.checker import Model
from tests.model.control_steps import choices, control_steps
from tests.model.faults import broken_connections, crashes, restarts
from tests.model.gateway_steps import gateway_steps
from tests.model.invariants import INVARIANTS, serves_or_is_down
from tests.model.rules import DESIGN, Rules
from tests.model.void import drop_void
from tests.model.worker_steps import worker_steps
from tests.model.world import ALIVE, READY, Bounds, Control, Gateway, Table, Worker, World

SERVING = World(  # process 1 has loaded and its gate is open
    waiting=0, table=Table(phase=ALIVE, incarnation=1, share=True), control=Control(heard=True),
    gateway=Gateway(hello=1, gate=True),
    worker=Worker(READY, 1, obeys=1, gateway=1, loads=1))


def make_model(bounds: Bounds, rules: Rules = DESIGN, *, start: World | None = None,
               invariants: tuple[str, ...] = tuple(INVARIANTS), stuck: bool = True, tidy: bool = True) -> Model:
    """`start` None: no process runs yet. `invariants` are names; `stuck`: are stuck states looked for as well?

    `tidy`: take messages away that nobody will heed any more (in the design only; it merges equal situations).
    """
    first = (start or World(0))._replace(waiting=bounds.jobs, breaks=bounds.breaks)

    def moves(w: World) -> list[tuple[str, World]]:
        return [*control_steps(w, rules, bounds), *gateway_steps(w, rules), *worker_steps(w, rules), *restarts(w)]

    def chances(w: World) -> list[tuple[str, World]]:
        return [*choices(w, rules, bounds), *crashes(w, rules, bounds), *broken_connections(w)]

    def tidied(steps: Callable) -> Callable:
        return lambda w: [(name, drop_void(after)) for name, after in steps(w)]

    if tidy and rules == DESIGN:
        moves, chances = tidied(moves), tidied(chances)
    return Model(first, moves, chances, {name: INVARIANTS[name] for name in invariants},
                 serves_or_is_down if stuck else None)
