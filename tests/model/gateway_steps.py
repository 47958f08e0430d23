"""What the gateway does, step by step: looks at the gate, dispatches, answers Fence, greets workers, counts ends.

The gate is worked out at a look and used afterwards, as in a turn of its loop: a word that control writes in between is
seen at the next look. Answering Fence reads the row anew. Pure.
"""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.world import ALIVE, BORN, LEFT, QUITTING, Message, World, arriving, under_way

Steps = Iterator[tuple[str, World]]


def gateway_steps(w: World, rules: Rules) -> Steps:
    g = w.gateway
    if not g.up:
        return
    may_open = _may_open(w, rules)
    if rules.gate_is_level_triggered and g.gate != may_open:
        does = "opens" if may_open else "shuts"
        yield f"the gateway looks and {does} the gate", w._replace(gateway=g._replace(gate=may_open))
    if g.gate and w.waiting:
        yield _dispatches(w)
    yield from _greets(w)
    for message, rest in arriving(w.gateway_control):
        yield _hears_control(w._replace(gateway_control=rest), message, rules)
    for message, rest in arriving(w.gateway_worker):
        yield _hears_the_worker(w._replace(gateway_worker=rest), message, rules)


def _may_open(w: World, rules: Rules) -> bool:
    """From facts alone: this incarnation greeted us and is READY, control welcomed it, no fence stands."""
    t, g = w.table, w.gateway
    fenced = t.fenced if rules.gate_reads_the_table else g.fence > t.fence_cleared
    return bool(g.hello) and g.hello == t.incarnation and t.phase == ALIVE and not fenced


def _dispatches(w: World) -> tuple[str, World]:
    """To a process that is gone it gets nowhere, and is held until the gateway learns of that."""
    g, worker = w.gateway, w.worker
    there = worker.incarnation == g.hello
    late = there and worker.phase in (QUITTING, LEFT)
    holds = g._replace(held=g.held + 1, late=late)
    job = Message("Job", w.table.gateway_epoch)
    sent = (*w.worker_gateway, job) if there and worker.lives and not late else w.worker_gateway
    return f"the gateway sends a job to process {g.hello}", w._replace(
        waiting=w.waiting - 1, gateway=holds, worker_gateway=sent)


def _greets(w: World) -> Steps:
    t, g, worker = w.table, w.gateway, w.worker
    if g.hello and not (worker.lives and worker.incarnation == g.hello and not worker.wild):
        yield f"the gateway learns that process {g.hello} is gone; its jobs wait again", _forgets(w, 0)
    strange = worker.lives and worker.phase not in (BORN, QUITTING) and worker.gateway != t.gateway_epoch
    if strange and not under_way(w.worker_gateway, "Welcome", t.gateway_epoch):
        yield "the gateway greets the worker", w._replace(
            worker_gateway=(*w.worker_gateway, Message("Welcome", t.gateway_epoch)))


def _forgets(w: World, hello: int) -> World:
    """Another worker, or none, is behind this gate from now on."""
    fresh = w.gateway._replace(hello=hello, gate=False, held=0, late=False)
    return w._replace(gateway=fresh, waiting=w.waiting + w.gateway.held)


def _hears_control(w: World, message: Message, rules: Rules) -> tuple[str, World]:
    """Key 2, in one turn: is the fence the one that stands, is nothing unfinished? Then the gate shuts in this turn."""
    t, g = w.table, w.gateway
    if message.kind == "Cleared":
        return "the gateway is told to open the gate", w._replace(gateway=g._replace(gate=_may_open(w, rules)))
    fence = message.number
    stands = t.fenced and t.fence_id == fence if rules.word_before_asking else fence > t.fence_id
    if not stands or g.held:
        why = f"{g.held} unfinished" if stands else "that fence does not stand"
        answer = Message("GateBusy", t.gateway_epoch, fence, message.about)
        says = f"the gateway hears Fence {fence} and says GateBusy ({why})"
    else:
        answer = Message("Fenced", t.gateway_epoch, fence, message.about)
        says = f"the gateway hears Fence {fence} and says Fenced"
        gate = g.gate and not rules.gateway_shuts_in_the_same_turn
        fence_known = 0 if rules.gate_reads_the_table else fence
        w = w._replace(gateway=g._replace(gate=gate, fence=fence_known), table=t._replace(answered=t.fenced))
    if w.control.up:
        w = w._replace(control_gateway=(*w.control_gateway, answer))
    return says, w


def _hears_the_worker(w: World, message: Message, rules: Rules) -> tuple[str, World]:
    g = w.gateway
    name = f"the gateway hears {message.kind} of process {message.sender}"
    if message.number != w.table.gateway_epoch or message.sender < g.hello:
        return f"{name}, which is of another time", w
    if message.kind == "Ended":
        return name, w._replace(gateway=g._replace(held=max(0, g.held - 1)))
    w = _forgets(w, message.sender) if message.sender != g.hello else w
    if not rules.gate_is_level_triggered:
        w = w._replace(gateway=w.gateway._replace(gate=_may_open(w, rules)))
    return name, w
