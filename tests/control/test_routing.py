"""BEHAVIOUR 2 as a table: every kind of work in every state of its chain, and what holds for any states whatever."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config import Config
from control.routing import Choice, Kind, State, Step, Work, chain_of, choose, is_simple
from control.states import AGENTS, BACKENDS, LOCAL, MLX, OLLAMA, VICTORIA
from tests.support.gateway_world import make_config

CONFIG = make_config("a")
LETTERS = {"O": State.OPEN, "C": State.CLOSED, "D": State.DOWN, "-": State.ABSENT}
CHAT, AGENT_CHAT = Work(Kind.CHAT), Work(Kind.CHAT, victoria=True)
TASK, BATCH, AGENT = Work(Kind.TASK), Work(Kind.BATCH), Work(Kind.AGENT)
NAMED = Work(Kind.AGENT, named=True)
SIMPLE_CHAT, SIMPLE, SIMPLE_BATCH = (replaced._replace(simple=True) for replaced in (CHAT, TASK, BATCH))
SIMPLE_AGENT, IMAGES = AGENT._replace(simple=True), TASK._replace(images=True)


def steps_in(work: Work, states: str, config: Config = CONFIG) -> list[Step]:
    """`states`: a letter of LETTERS for each step of its chain."""
    chain = chain_of(work, config)
    assert len(chain) == len(states), f"the chain is {chain}"
    return [Step(backend, f"model at {backend}", f"row of {backend}", LETTERS[letter], "code", f"why {backend}")
            for backend, letter in zip(chain, states, strict=True)]


# name, work, states of its chain in order, is MLX overloaded, tried before -> chosen ("" nobody), route, reason
TABLE = [
    # chat with use_victoria: victoria -> mlx
    ("victoria chats", AGENT_CHAT, "OO", False, "", VICTORIA, "victoria", ""),
    ("victoria is down", AGENT_CHAT, "DO", False, "", MLX, "victoria>mlx", "down"),
    ("victoria is not configured", AGENT_CHAT, "-O", False, "", MLX, "mlx", ""),
    ("victoria failed", AGENT_CHAT, "OO", False, VICTORIA, MLX, "victoria>mlx", "failed"),
    ("victoria called us: hop 1", AGENT_CHAT._replace(hop=1), "-O", False, "", MLX, "mlx", ""),
    ("victoria chats under load", AGENT_CHAT, "OO", True, "", VICTORIA, "victoria", ""),
    ("victoria is down under load", AGENT_CHAT, "DO", True, "", MLX, "victoria>mlx", "down"),
    ("neither victoria nor mlx", AGENT_CHAT, "DD", False, "", "", "victoria>mlx", "down"),
    ("victoria is down, mlx takes nothing", AGENT_CHAT, "DC", False, "", "", "victoria>mlx", "closed"),
    ("victoria failed, mlx is down", AGENT_CHAT, "OD", False, VICTORIA, "", "victoria>mlx", "down"),
    ("both failed", AGENT_CHAT, "OO", False, "victoria mlx", "", "victoria>mlx", "down"),
    # chat without: mlx, or a clear error
    ("chat", CHAT, "O", False, "", MLX, "mlx", ""),
    ("chat under load", CHAT, "O", True, "", MLX, "mlx", ""),
    ("simple chat under load stays", SIMPLE_CHAT, "O", True, "", MLX, "mlx", ""),
    ("simple chat, mlx takes nothing", SIMPLE_CHAT, "C", True, "", "", "mlx", "closed"),
    ("chat, mlx is down", CHAT, "D", False, "", "", "mlx", "down"),
    ("chat, mlx failed", CHAT, "O", False, MLX, "", "mlx", "down"),
    # task: mlx -> ollama -> victoria
    ("task", TASK, "OOO", False, "", MLX, "mlx", ""),
    ("simple task without load", SIMPLE, "OOO", False, "", MLX, "mlx", ""),
    ("simple task under load", SIMPLE, "OOO", True, "", OLLAMA, "mlx>ollama", "overloaded"),
    ("complex task under load waits", TASK, "OOO", True, "", MLX, "mlx", ""),
    ("simple task under load, ollama is down", SIMPLE, "ODO", True, "", MLX, "mlx", ""),
    ("simple task under load, no ollama", SIMPLE, "O-O", True, "", MLX, "mlx", ""),
    ("simple task under load, ollama failed", SIMPLE, "OOO", True, OLLAMA, MLX, "mlx", ""),
    ("simple task, mlx takes nothing", SIMPLE, "COO", False, "", OLLAMA, "mlx>ollama", "overloaded"),
    ("simple task, mlx takes nothing, ollama is down", SIMPLE, "CDO", False, "", "", "mlx", "closed"),
    ("complex task, mlx takes nothing", TASK, "COO", True, "", "", "mlx", "closed"),
    ("task, mlx is down", TASK, "DOO", False, "", OLLAMA, "mlx>ollama", "down"),
    ("simple task, mlx is down", SIMPLE, "DOO", True, "", OLLAMA, "mlx>ollama", "down"),
    ("task, mlx and ollama are down", TASK, "DDO", False, "", VICTORIA, "mlx>ollama>victoria", "down"),
    ("task, mlx is down, no ollama", TASK, "D-O", False, "", VICTORIA, "mlx>victoria", "down"),
    ("task, all are down", TASK, "DDD", False, "", "", "mlx>ollama>victoria", "down"),
    ("task, mlx failed", TASK, "OOO", False, MLX, OLLAMA, "mlx>ollama", "failed"),
    ("task, mlx failed, ollama is down", TASK, "ODO", False, MLX, VICTORIA, "mlx>ollama>victoria", "failed"),
    ("task, two failed", TASK, "OOO", False, "mlx ollama", VICTORIA, "mlx>ollama>victoria", "failed"),
    ("task, all failed", TASK, "OOO", False, "mlx ollama victoria", "", "mlx>ollama>victoria", "down"),
    ("task, ollama failed as mlx came back", TASK, "OOO", False, OLLAMA, MLX, "mlx", ""),
    ("task at hop 1, mlx is down", TASK._replace(hop=1), "DO-", False, "", OLLAMA, "mlx>ollama", "down"),
    ("task for a model that is reserved", TASK, "-OO", False, "", OLLAMA, "ollama", ""),
    ("task, nothing is configured", TASK, "---", False, "", "", "", "down"),
    # batch: mlx -> ollama
    ("batch", BATCH, "OO", False, "", MLX, "mlx", ""),
    ("simple batch under load", SIMPLE_BATCH, "OO", True, "", OLLAMA, "mlx>ollama", "overloaded"),
    ("complex batch under load waits", BATCH, "OO", True, "", MLX, "mlx", ""),
    ("batch, mlx is down", BATCH, "DO", False, "", OLLAMA, "mlx>ollama", "down"),
    ("batch, both are down", BATCH, "DD", False, "", "", "mlx>ollama", "down"),
    # agents: their own model, then the above
    ("agent", AGENT, "OOOO", False, "", AGENTS, "agents", ""),
    ("agent, no model is theirs", AGENT, "-OOO", False, "", MLX, "mlx", ""),
    ("agent, theirs is down", AGENT, "DOOO", False, "", MLX, "agents>mlx", "down"),
    ("agent, theirs failed", AGENT, "OOOO", False, AGENTS, MLX, "agents>mlx", "failed"),
    ("simple agent under load", SIMPLE_AGENT, "OOOO", True, "", OLLAMA, "agents>mlx>ollama", "overloaded"),
    ("complex agent under load waits", AGENT, "OOOO", True, "", AGENTS, "agents", ""),
    ("simple agent, theirs is down, under load", SIMPLE_AGENT, "DOOO", True, "", OLLAMA, "agents>mlx>ollama",
     "overloaded"),
    ("agent that names a model", NAMED, "OOO", False, "", MLX, "mlx", ""),
    ("agent, nothing here", AGENT, "DDDO", False, "", VICTORIA, "agents>mlx>ollama>victoria", "down"),
    # images: Ollama, whatever the load
    ("images", IMAGES, "O", False, "", OLLAMA, "ollama", "images"),
    ("images under load", IMAGES, "O", True, "", OLLAMA, "ollama", "images"),
    ("images in a chat", CHAT._replace(images=True), "O", False, "", OLLAMA, "ollama", "images"),
    ("images for victoria", AGENT_CHAT._replace(images=True), "O", False, "", OLLAMA, "ollama", "images"),
    ("images, no ollama", IMAGES, "-", False, "", "", "", "down"),
    ("images, ollama is down", IMAGES, "D", False, "", "", "ollama", "down"),
    ("images, ollama failed", IMAGES, "O", False, OLLAMA, "", "ollama", "down"),
]


@pytest.mark.parametrize(("work", "states", "overloaded", "tried", "chosen", "route", "reason"),
                         [row[1:] for row in TABLE], ids=[row[0].replace(" ", "-") for row in TABLE])
def test_who_answers(work: Work, states: str, overloaded: bool, tried: str, chosen: str, route: str, reason: str):
    choice = choose(work, steps_in(work, states), overloaded=overloaded, tried=tried.split())
    assert (choice.step.backend if choice.step else "", choice.route, choice.reason) == (chosen, route, reason)


def test_the_rows_of_the_table_are_named_once():
    names = [row[0] for row in TABLE]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("work", "states", "tried", "says_why"), [
    (TASK, "DDD", "", MLX), (TASK, "-DD", "", OLLAMA), (TASK, "OOO", "mlx ollama victoria", MLX),
    (TASK, "ODD", "mlx", OLLAMA), (TASK, "COO", "", MLX), (TASK, "---", "", MLX), (IMAGES, "-", "", OLLAMA)])
def test_the_first_that_can_say_why_refuses(work: Work, states: str, tried: str, says_why: str):
    choice = choose(work, steps_in(work, states), overloaded=False, tried=tried.split())
    assert choice.step is None and choice.refusal.backend == says_why and choice.refusal.why == f"why {says_why}"


def test_without_any_step_there_is_nobody_to_say_why():
    assert choose(TASK, [], overloaded=True) == Choice(None, "", "down", None)


def test_a_step_keeps_what_the_backend_calls_the_model():
    [_, ollama, _] = steps = steps_in(SIMPLE, "OOO")
    assert choose(SIMPLE, steps, overloaded=True).step is ollama
    assert (ollama.model, ollama.target) == ("model at ollama", "row of ollama")


# -- chains

def test_the_chains_of_behaviour_2_are_the_defaults():
    chains = {name: chain_of(work, CONFIG) for name, work in {
        "chat with victoria": AGENT_CHAT, "chat": CHAT, "task": TASK, "batch": BATCH, "agent": AGENT,
        "agent that names a model": NAMED}.items()}
    assert chains == {
        "chat with victoria": (VICTORIA, MLX), "chat": (MLX,), "task": (MLX, OLLAMA, VICTORIA), "batch": (MLX, OLLAMA),
        "agent": (AGENTS, MLX, OLLAMA, VICTORIA), "agent that names a model": (MLX, OLLAMA, VICTORIA)}


def test_chains_are_configuration():
    config = make_config("a", chain_chat=("ollama", "mlx"), chain_task=("victoria",))
    assert chain_of(CHAT, config) == (OLLAMA, MLX) and chain_of(TASK, config) == (VICTORIA,)
    assert chain_of(CHAT._replace(images=True), config) == (OLLAMA,), "images have one reader, whatever the chain"
    first = choose(CHAT, steps_in(CHAT, "OO", config), overloaded=False)
    assert (first.step.backend, first.reason) == (OLLAMA, "")


def test_only_a_chat_with_victoria_has_victoria_first():
    for kind in (Kind.TASK, Kind.BATCH, Kind.AGENT):
        assert chain_of(Work(kind, victoria=True), CONFIG) == chain_of(Work(kind), CONFIG)


def test_every_kind_has_a_bit_of_its_own():
    assert [kind.bit for kind in Kind] == [1, 2, 4, 8]


# -- simple or complex

@pytest.mark.parametrize(("chars", "category", "needs_more", "simple"), [
    (0, "", False, True), (499, "", False, True), (500, "", False, False), (10, "fast", False, True),
    (10, "FAST", False, True), (10, "simple_query", False, True), (10, "text_summarization", False, True),
    (10, "grammar_correction", False, True), (10, "coding", False, False), (10, "reasoning", False, False),
    (10, "", True, False), (10, "fast", True, False), (500, "fast", False, False)])
def test_simple_is_short_of_a_simple_category_and_asks_for_nothing_special(
        chars: int, category: str, needs_more: bool, simple: bool):
    assert is_simple(chars, category, needs_more=needs_more, config=CONFIG) is simple


def test_what_is_simple_is_configuration():
    config = replace(CONFIG, simple_max_chars=10, simple_categories=("poems",))
    assert is_simple(9, "poems", needs_more=False, config=config)
    assert not is_simple(10, "poems", needs_more=False, config=config)
    assert not is_simple(9, "fast", needs_more=False, config=config)
    assert not is_simple(0, "", needs_more=False, config=replace(CONFIG, simple_max_chars=0)), "0: nothing is simple"


# -- whatever the chain and its states

CHAINS = st.lists(st.sampled_from(BACKENDS), unique=True, min_size=1)
WORKS = st.builds(Work, kind=st.sampled_from(Kind), victoria=st.booleans(), simple=st.booleans(),
                  images=st.booleans(), hop=st.integers(0, 1), named=st.booleans())
CASES = st.tuples(WORKS, CHAINS, st.lists(st.sampled_from(State), min_size=4, max_size=4), st.booleans(),
                  st.sets(st.sampled_from(BACKENDS)))


def of_chain(chain: Sequence[str], states: Sequence[State]) -> list[Step]:
    return [Step(backend, "m", backend, state, "code", "why") for backend, state in zip(chain, states, strict=False)]


@given(CASES)
def test_what_was_tried_is_absent_or_closed_or_down_is_never_chosen(case):
    work, chain, states, overloaded, tried = case
    choice = choose(work, of_chain(chain, states), overloaded=overloaded, tried=tried)
    if choice.step is not None:
        assert choice.step.state is State.OPEN and choice.step.backend not in tried
        assert choice.route.split(">")[-1] == choice.step.backend


@given(CASES)
def test_complex_work_never_leaves_mlx_unless_mlx_is_down_or_failed_it(case):
    work, chain, states, overloaded, tried = case
    work = work._replace(simple=False)
    steps = of_chain(chain, states)
    choice = choose(work, steps, overloaded=overloaded, tried=tried)
    if choice.step is not None and choice.step.backend not in LOCAL:
        before = steps[:steps.index(choice.step)]
        assert all(step.state in (State.DOWN, State.ABSENT) or step.backend in tried for step in before)
    assert choice == choose(work, steps, overloaded=not overloaded, tried=tried), "the load does not matter to it"


@given(CASES)
def test_work_goes_only_where_its_chain_says(case):
    work, chain, states, overloaded, tried = case
    choice = choose(work, of_chain(chain, states), overloaded=overloaded, tried=tried)
    assert choice.step is None or choice.step.backend in chain
    assert set(choice.route.split(">")) - {""} <= set(chain)


@given(st.booleans(), st.lists(st.sampled_from(State), min_size=2, max_size=2), st.booleans(), st.booleans())
def test_chat_never_spills_to_ollama_unless_its_chain_names_it(victoria, states, overloaded, simple):
    work = Work(Kind.CHAT, victoria=victoria, simple=simple)
    choice = choose(work, of_chain(chain_of(work, CONFIG), states), overloaded=overloaded)
    assert choice.step is None or choice.step.backend != OLLAMA


@given(CASES)
def test_simple_work_leaves_mlx_under_load_for_an_open_ollama_only(case):
    work, chain, states, _, tried = case
    work, steps = work._replace(simple=True), of_chain(chain, states)
    calm, loaded = (choose(work, steps, overloaded=overloaded, tried=tried) for overloaded in (False, True))
    if calm != loaded:
        assert calm.step.backend in LOCAL and loaded.step.backend == OLLAMA and loaded.reason == "overloaded"


@given(CASES)
def test_nobody_is_refused_while_a_step_is_open_but_who_waits_for_memory(case):
    work, chain, states, overloaded, tried = case
    steps = of_chain(chain, states)
    choice = choose(work, steps, overloaded=overloaded, tried=tried)
    opened = [step for step in steps if step.state is State.OPEN and step.backend not in tried]
    if choice.step is None and opened:
        assert choice.reason == "closed" and choice.refusal.state is State.CLOSED
    if choice.step is None:
        assert choice.refusal in steps


def test_the_reason_is_empty_only_for_the_first_of_the_chain():
    for states, tried in product(product(State, repeat=3), ((), (MLX,), (OLLAMA,), (MLX, OLLAMA))):
        for overloaded, work in product((False, True), (TASK, SIMPLE)):
            steps = of_chain((MLX, OLLAMA, VICTORIA), states)
            choice = choose(work, steps, overloaded=overloaded, tried=tried)
            counted = [step for step in steps if step.state is not State.ABSENT]
            if choice.step is not None:
                assert (choice.reason == "") == (choice.step is counted[0])
