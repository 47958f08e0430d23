"""One request that is paused for another, told to a dispatcher with nothing real around it: what was said to whom."""

from control.states import Phase
from gateway import protocol
from tests.support.gateway_world import World
from workers import protocol as jobs


def told(world: World, *kinds: type) -> list[tuple[type, str]]:
    """What workers were told of these kinds, and about which request, in order."""
    return [(type(m), world.asked[m.job]) for _, m in world.worker_frames if isinstance(m, kinds)]


def job_of(world: World, request_id: str) -> jobs.Job:
    return [job for job in world.jobs_sent() if world.asked[job.job] == request_id][-1]


def says(world: World, request_id: str, kind: type, *rest, identity: bytes = b"w1") -> None:
    job = job_of(world, request_id)
    world.worker_says(identity, kind, job.job, job.attempt, *rest, incarnation=job.incarnation)


def token(world: World, request_id: str, *, end: bool = False, identity: bytes = b"w1") -> None:
    """The worker says the next one of its answer."""
    job = job_of(world, request_id)
    at = world.d.requests[job.job].next_position
    last = jobs.End("stop", 3, at + 1, 1.0, 2.0) if end else None
    world.worker_says(identity, jobs.Step, 1, [jobs.Item(job.job, job.attempt, at, [100 + at], f"t{at} ", last)],
                      incarnation=job.incarnation)


def positions(world: World, request_id: str) -> list[int]:
    return [event.position for event in world.events(request_id) if isinstance(event, protocol.Tokens)]


def paused(**settings) -> World:
    """`low` has said two tokens and is paused for `high`, which has the only slot."""
    world = World(max_running=1, **settings)
    world.worker_up()
    world.submit("low", priority="low")
    token(world, "low")
    token(world, "low")
    world.submit("high", priority="high")
    assert told(world, jobs.Job, jobs.Pause) == [(jobs.Job, "low"), (jobs.Pause, "low"), (jobs.Job, "high")]
    says(world, "low", jobs.Paused, True)
    says(world, "high", jobs.Accept)
    return world


def heartbeat(world: World, seconds: float, *, phase: Phase = Phase.READY) -> None:
    """Time passes, and the worker has in its hands what it was given."""
    in_hand = [request.ticket.id for request in world.d.requests.values() if request.worker]
    world.worker_says(b"w1", jobs.Beat, "a", phase, in_hand, 1)
    world.pass_time(seconds)
