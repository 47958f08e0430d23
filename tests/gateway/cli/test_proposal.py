"""What is proposed fits the machine, whatever was found, and says why; the arithmetic is that of control."""

import random

from hypothesis import given
from hypothesis import strategies as st

from control.budget import Ceiling, parts_of
from control.config import Config, ModelConfig
from gateway.cli.proposal import CHATS, COMPLETES, EMBEDS, KINDS, MODELS_MAX, Facts, OllamaFound, choose_proposal
from tests.support.found_models import CEILINGS, facts_of, found, machine

LARGE, MIDDLE, SMALL = found("a/Qwen3-32B-4bit", 18.4), found("a/Qwen3-8B-4bit", 4.6), found("a/Qwen3-1.7B-4bit", 1.0)
HERE = OllamaFound("http://127.0.0.1:11434", "0.9.9", ("qwen3:8b",), True)


def left_out(proposal) -> dict[str, str]:
    return dict(proposal.left_out)


def names(proposal) -> list[str]:
    return [each.name for each in proposal.chosen]


def test_nothing_found_is_an_empty_proposal():
    proposal = choose_proposal(machine())
    assert proposal.is_empty and proposal.default_why == "" and proposal.together == () and proposal.categories == {}


def test_one_small_model_is_the_default_because_it_is_the_only_one():
    proposal = choose_proposal(machine(SMALL, memory_gb=8))
    assert names(proposal) == ["qwen3-1.7b"] and proposal.default_why == "the only one"
    assert proposal.chosen[0].aliases == ("qwen3:1.7b", "a/Qwen3-1.7B-4bit") and proposal.together == ("qwen3-1.7b",)


def test_each_machine_gets_what_fits_it():
    by_memory = {memory_gb: choose_proposal(machine(LARGE, MIDDLE, SMALL, memory_gb=memory_gb))
                 for memory_gb in CEILINGS}
    assert names(by_memory[8]) == ["qwen3-1.7b"]
    assert names(by_memory[16]) == ["qwen3-8b", "qwen3-1.7b"]
    assert names(by_memory[64]) == ["qwen3-32b", "qwen3-8b", "qwen3-1.7b"]
    assert left_out(by_memory[8]).keys() == {LARGE.title, MIDDLE.title}
    assert left_out(by_memory[16])[LARGE.title].startswith("too big: it needs at least 18.") and (
        "all models together may have 10.7 GiB" in left_out(by_memory[16])[LARGE.title])
    assert "at most 75 % of the budget" in by_memory[16].default_why
    assert by_memory[16].categories == {"fast": "qwen3-1.7b"}


def test_when_none_is_comfortable_the_smallest_is_the_default():
    proposal = choose_proposal(machine(found("a/x", 3.2), found("a/y", 3.5), memory_gb=8))
    assert names(proposal)[0] == "x" and "none leaves a quarter" in proposal.default_why


def test_many_too_big_leave_nothing_and_each_is_named():
    models = [found(f"a/big-{number}", 40 + number) for number in range(20)]
    proposal = choose_proposal(machine(*models, memory_gb=16))
    assert proposal.is_empty and left_out(proposal).keys() == {each.title for each in models}
    raw = choose_proposal(machine(found("a/raw", 15.0, bits=0)))
    assert left_out(raw)["a/raw"].endswith("a 4-bit one takes about a third)")


def test_what_has_a_problem_is_left_out_with_it_and_what_is_there_twice_counts_once():
    again = MIDDLE._replace(origin="LM Studio", path="~/.lmstudio/models/a/Qwen3-8B-4bit")
    odd = found("a/odd", path="~/a\nb")
    broken = found("a/broken", facts=None, problem="incomplete: it lacks a file")
    proposal = choose_proposal(machine(again, broken, odd, MIDDLE))
    assert [each.found.path for each in proposal.chosen] == [MIDDLE.path]
    assert left_out(proposal) == {
        "a/broken": "incomplete: it lacks a file",
        "a/odd": "its path holds what cannot be written into a configuration",
        MIDDLE.title: "the copy in LM Studio; the one in Hugging Face cache is taken"}


def test_special_models_are_not_the_default_and_get_their_category():
    coder = found("a/Qwen2.5-Coder-14B-Instruct-4bit", 5.0)
    embeds = found("a/Qwen3-Embedding-4B", 5.0, kind=EMBEDS)
    base = found("a/Llama-3.1-8B", 5.0, kind=COMPLETES)
    proposal = choose_proposal(machine(coder, embeds, base, SMALL))
    assert names(proposal)[0] == "qwen3-1.7b" and proposal.categories == {"coding": "qwen2.5-coder-14b-instruct"}
    assert proposal.chosen[-1].found is embeds
    assert names(choose_proposal(machine(coder))) == ["qwen2.5-coder-14b-instruct"]
    assert "llama3.1:8b" not in proposal.chosen[-2].aliases, "a base model is not what people mean by that"


def test_the_newest_are_served_and_the_others_stay_at_hand():
    models = [found(f"a/m{number}", 1.0, fetched_at=number) for number in range(12)]
    proposal = choose_proposal(machine(*models, found("a/Default", 4.0, fetched_at=-1)))
    assert names(proposal)[0] == "default" and set(names(proposal)[1:]) == {f"m{number}" for number in range(5, 12)}
    assert [each.name for each in proposal.spare] == ["m4", "m3", "m2", "m1", "m0"]


def test_a_pulled_model_keeps_its_name():
    proposal = choose_proposal(machine(MIDDLE._replace(served_as="a/Qwen3-8B-4bit")))
    assert names(proposal) == ["a/Qwen3-8B-4bit"] and proposal.chosen[0].aliases == ("qwen3:8b",)


def test_servers_here_become_relays_and_one_elsewhere_does_not():
    proposal = choose_proposal(machine(SMALL, ollama=HERE, victoria_url="http://127.0.0.1:8010"))
    assert (proposal.ollama_url, proposal.victoria_url) == (HERE.url, "http://127.0.0.1:8010")
    elsewhere = HERE._replace(url="http://10.0.0.9:11434", is_here=False)
    assert choose_proposal(machine(SMALL, ollama=elsewhere)).ollama_url == ""
    for there, model in ((("qwen3:8b",), ""), (("moondream:latest", "llava:7b"), ""), (("llava:7b", "x"), "llava:7b")):
        assert choose_proposal(machine(SMALL, ollama=HERE._replace(models=there))).vision_model == model


def test_without_a_known_budget_nothing_is_promised():
    proposal = choose_proposal(machine(SMALL, ceiling=Ceiling(0, "neither configured nor known")))
    assert proposal.is_empty and "memory_budget_gb" in left_out(proposal)[SMALL.title]


models = st.builds(
    found, st.sampled_from([f"{org}/{name}" for org in "ab" for name in ("Qwen3-4B-4bit", "Coder-7b", "x", "y", "Z")]),
    st.floats(0.01, 80), kind=st.sampled_from(KINDS), fetched_at=st.integers(0, 3), bits=st.sampled_from((0, 4)),
    problem=st.sampled_from(("", "", "", "incomplete")),
    path=st.sampled_from(("p", "q", "~/r")), facts=st.builds(facts_of, st.floats(0.01, 80), st.integers(1, 80)))


@given(st.lists(models, max_size=20), st.sampled_from((8, 16, 64)), st.integers(1, 40), st.booleans(), st.randoms())
def test_what_is_proposed_always_fits_adds_up_and_does_not_depend_on_the_order(
        there: list, memory_gb: int, max_running: int, has_ollama: bool, shuffle: random.Random):
    facts: Facts = machine(*there, memory_gb=memory_gb, max_running=max_running, ollama=HERE if has_ollama else None)
    proposal, ceiling_bytes = choose_proposal(facts), CEILINGS[memory_gb].bytes
    assert len(proposal.chosen) <= MODELS_MAX
    for each in (*proposal.chosen, *proposal.spare):
        assert each.least.share_bytes <= each.alone.share_bytes <= ceiling_bytes and each.least.rows == 1
        assert each.alone.rows <= max_running + has_ollama
        for plan in (each.least, each.alone):
            assert sum(part.bytes for part in parts_of(plan)) == plan.share_bytes
    needs = {each.name: each.least.share_bytes for each in proposal.chosen}
    assert sum(needs[name] for name in proposal.together) <= ceiling_bytes
    assert set(proposal.categories.values()) <= needs.keys()
    assert len(proposal.chosen) + len(proposal.spare) + len(proposal.left_out) == len(there)
    if any(each.found.kind == CHATS for each in proposal.chosen):
        assert proposal.chosen[0].found.kind == CHATS
    shuffle.shuffle(there)
    again = choose_proposal(facts._replace(models=tuple(there)))
    assert again._replace(facts=facts) == proposal


def test_the_batch_is_the_one_that_a_configuration_has_by_itself():
    from gateway.cli.proposal import BATCH_MAX

    assert ModelConfig(name="a", slug="a").batch_size == BATCH_MAX and Config.max_running == 5
