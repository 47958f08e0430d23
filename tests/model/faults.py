"""What goes wrong: any of the three processes dies, at any moment; a connection breaks; and how they come back.

Who dies forgets everything. What was on its way *to* it is lost, or waits for its successor, where there is one that
takes over the address: both are tried. What it had sent itself may still arrive, at any time or never.
A crash raises the epoch or incarnation of what comes next, and these numbers are what bounds the crashes. Pure.
"""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.world import DEAD, DOWN, LOADING, READY, UNKNOWN, Bounds, Control, Gateway, World

Steps = Iterator[tuple[str, World]]


def crashes(w: World, rules: Rules, bounds: Bounds) -> Steps:
    t, worker = w.table, w.worker
    if w.control.up and t.control_epoch <= bounds.control_crashes:
        dead = w._replace(control=Control(up=False))
        yield "CRASH of control", dead
        if w.control_worker or w.control_gateway:
            yield "CRASH of control; what was said to it is lost", dead._replace(control_worker=(), control_gateway=())
        if bounds.torn_rows and t.phase not in (DOWN, UNKNOWN):
            torn = t._replace(phase=UNKNOWN, fence_cleared=t.fence_id, answered=False, share=True)
            yield "CRASH of control in the middle of writing the row", dead._replace(table=torn)
    if w.gateway.up and t.gateway_epoch <= bounds.gateway_crashes:
        dead = w._replace(gateway=Gateway(up=False), gateway_control=(), waiting=w.waiting + w.gateway.held)
        yield "CRASH of the gateway; callers ask again", dead
        if w.gateway_worker:
            yield "CRASH of the gateway, callers ask again; what was said to it is lost", dead._replace(
                gateway_worker=())
    if worker.lives and not worker.wild and worker.incarnation <= bounds.worker_crashes:
        name = f"CRASH of process {worker.incarnation}"
        gone = w._replace(worker_control=(), worker_gateway=())
        if not rules.workers_load_when_told and worker.phase in (LOADING, READY):
            loads = worker._replace(phase=LOADING, hand=0, loads=worker.loads + 1, wild=True)
            yield f"{name}, which starts again by itself and loads", gone._replace(worker=loads)
        else:
            yield name, gone._replace(worker=worker._replace(
                phase=DEAD, obeys=0, refused=0, gateway=0, hand=0, loads=0))


def broken_connections(w: World) -> Steps:
    """Both ends live on; everything on its way between them is lost."""
    if w.breaks and (w.worker_control or w.control_worker):
        yield "BREAK of the connection of control and worker", w._replace(
            breaks=w.breaks - 1, worker_control=(), control_worker=())
    if w.breaks and (w.gateway_control or w.control_gateway):
        yield "BREAK of the connection of control and gateway", w._replace(
            breaks=w.breaks - 1, gateway_control=(), control_gateway=())


def restarts(w: World) -> Steps:
    """supervisord starts control and the gateway again; a crash is allowed, staying down is not."""
    t = w.table
    if not w.control.up:
        epoch = t.control_epoch + 1
        yield f"control {epoch} takes over", w._replace(
            table=t._replace(control_epoch=epoch), control=Control())
    if not w.gateway.up:
        epoch = t.gateway_epoch + 1
        yield f"gateway {epoch} takes over", w._replace(
            table=t._replace(gateway_epoch=epoch), gateway=Gateway())
