"""Whoever is waited for, comes and goes, in whatever order: what is given out stays under the ceiling."""

from hypothesis import given, settings
from hypothesis import strategies as st

from control import messages
from control.budget import Profile
from control.states import Phase
from tests.support.control_world import World

MIB = 1024**2
SLUGS = ("a", "b", "c")

budgets = st.integers(100, 700)  # MiB
sizes = st.sampled_from([0, 0, 100, 300])  # MiB of weights
tokens = st.sampled_from([0, 0, 1024])  # bytes of one: such a model takes nearly all that is free
measured = st.sampled_from([None, 1, 20, 60])  # MiB beside them; some are less than what a process counts for
prewarm = st.integers(0, 2)
models = st.tuples(sizes, tokens, measured)
whats = st.sampled_from(["want", "want", "want", "leave", "go on", "go on", "go on", "a moment", "a while"])
steps = st.lists(st.tuples(whats, st.sampled_from(SLUGS)), min_size=10, max_size=40)


def world_of(made: dict[str, tuple[int, int, int | None]], budget: int, warm: int) -> World:
    world = World(*SLUGS, memory_budget_gb=budget / 1024, prewarm=warm, grace_s=1.0, min_residency_s=1.0)
    for slug, (size, token_bytes, beside) in made.items():
        world.sizes_gb[slug], world.kv_bytes[slug] = size / 1024, token_bytes
        if beside is not None:
            world.profiles[slug] = Profile((size + beside) * MIB, (size + beside) * MIB, 0.1)
    world.gateway_up()
    world.tick()
    return world


def go_on(world: World, slug: str) -> None:
    """The next thing that its process does by itself."""
    row = world.r.rows[slug]
    if row.phase is Phase.STARTING:
        world.hello(slug)
        world.settle(slug)
        world.beating.add(slug)
    elif row.stop is not None and row.phase is Phase.ALIVE:
        world.gateway_says(messages.Fenced, slug)
        world.worker_says(messages.Quitting, slug)
    elif row.phase is Phase.STOPPING:
        world.die(slug)
    elif row.loading:
        world.set_words(slug, phase=Phase.READY)
        world.report(slug, Phase.READY)
        world.waits.pop(slug, None)


def step(world: World, what: str, slug: str) -> None:
    match what:
        case "want":
            world.want(slug, medium=1)
        case "leave":
            world.waits.pop(slug, None)
            world.tick()
        case "go on":
            for each in SLUGS:
                go_on(world, each)
        case _:
            world.tick(0.1 if what == "a moment" else 3.0)


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(SLUGS, models)), budgets, prewarm, steps)
def test_all_shares_together_stay_under_the_ceiling(made, budget, warm, what_happens):
    world = world_of(made, budget, warm)
    books = world.r.books
    for what, slug in what_happens:
        step(world, what, slug)
        shares = {row.slug: row.share_bytes // MIB for row in world.r.rows.values()}
        assert books.reserved_bytes <= books.ceiling.bytes, (what, slug, shares)
