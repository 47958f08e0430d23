"""What is measured of each request adds up with what its caller saw."""

import pytest

from control.states import Phase
from gateway import protocol
from gateway.histograms import VLLM
from gateway.measures import ANSWERS_MAX
from tests.support.gateway_world import World, make_config, make_model
from workers import protocol as jobs


def asked(world: World, *, client: bytes = b"c1") -> protocol.MetricsInfo:
    world.client_says(client, {"type": "metrics", "id": "m"})
    info = protocol.decode_metrics(world.end_of("m").value)
    world.client_frames[:] = [(who, event) for who, event in world.client_frames if getattr(event, "id", "") != "m"]
    return info


def of(info: protocol.MetricsInfo, kind: str, model: int = 0) -> protocol.HistogramCounts:
    return info.models[model].histograms[[each.name for each in info.kinds].index(kind)]


def count_of(info: protocol.MetricsInfo, kind: str, model: int = 0) -> int:
    return sum(of(info, kind, model).counts)


@pytest.fixture
def world() -> World:
    world = World("a", "b", max_running=2, max_queued=2)
    world.worker_up()
    return world


def test_an_answer_is_measured_as_its_caller_saw_it(world):
    world.submit("r1", options={"max_tokens": 7})
    job = world.jobs_sent()[0]
    world.now += 0.5
    world.answer(b"w1", job, 3, end=False)
    world.now += 2.0
    world.answer(b"w1", job, 1, start=3)
    done, info = world.end_of("r1"), asked(world)
    assert (of(info, "time_to_first_token_seconds").sum, count_of(info, "time_to_first_token_seconds")) == (0.5, 1)
    assert of(info, "e2e_request_latency_seconds").sum == pytest.approx(done.timings.total_ms / 1000) == 2.5
    assert of(info, "request_inference_time_seconds").sum == pytest.approx(
        of(info, "request_prefill_time_seconds").sum + of(info, "request_decode_time_seconds").sum) == 0.003
    assert of(info, "request_prompt_tokens").sum == info.models[0].prompt_tokens == done.usage.prompt_tokens == 3
    assert of(info, "request_generation_tokens").sum == info.models[0].generation_tokens == 4
    assert of(info, "request_params_max_tokens").sum == 7
    assert info.models[0].ended == {"stop": 0, "length": 1, "abort": 0, "error": 0}
    assert info.ended["length"] == 1 == sum(info.ended.values())
    assert info.models[1].generation_tokens == 0 == count_of(info, "e2e_request_latency_seconds", 1)


def test_time_between_tokens_counts_every_gap_and_the_request_once(world):
    world.submit("r1")
    world.answer(b"w1", world.jobs_sent()[0], 5)
    info = asked(world)
    between, each = of(info, "inter_token_latency_seconds"), of(info, "request_time_per_output_token_seconds")
    assert (sum(between.counts), sum(each.counts)) == (4, 1)
    assert between.sum == pytest.approx(0.002) and each.sum == pytest.approx(0.002 / 4)


def test_what_of_the_prompts_was_not_computed_again_is_counted_when_the_answer_ends(world):
    for name, cached in (("r1", 0), ("r2", 2)):
        world.submit(name)
        job = world.jobs_sent()[-1]
        world.answer(b"w1", job, 1, end=False)
        end = jobs.End("stop", 3, 2, 1.0, 2.0, cached)
        world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(job.job, job.attempt, 1, [1], "t", end)])
    [model, _] = asked(world).models
    assert (model.queried_tokens, model.cached_tokens) == (6, 2)


def test_one_token_has_no_gap(world):
    world.submit("r1")
    world.answer(b"w1", world.jobs_sent()[0], 1)
    info = asked(world)
    assert count_of(info, "inter_token_latency_seconds") == 0 == count_of(info, "request_time_per_output_token_seconds")
    assert count_of(info, "request_generation_tokens") == 1


def test_tokens_of_an_answer_under_way_are_counted_and_never_fewer_later(world):
    world.submit("r1")
    job, seen = world.jobs_sent()[0], []
    world.answer(b"w1", job, 3, end=False)
    seen.append(asked(world).models[0].generation_tokens)
    world.answer(b"w1", job, 2, end=False, start=3)
    world.client_says(b"c1", {"type": "cancel", "id": "r1"})
    seen.append(asked(world).models[0].generation_tokens)
    world.fails(b"w1", job, "internal")
    info = asked(world)
    assert [*seen, info.models[0].generation_tokens] == [3, 5, 5]
    assert info.models[0].ended["abort"] == 1 == info.ended["cancelled"]
    assert count_of(info, "e2e_request_latency_seconds") == 0  # it would only look fast


def test_waits_by_class_count_each_request_once_though_it_is_begun_twice(world):
    world.submit("r1", priority="high")
    world.set_row("a", Phase.BACKOFF)
    world.turn()
    world.now += 1.0
    world.worker_up("a", b"w2", incarnation=2)
    assert len(world.jobs_sent()) == 2
    world.submit("r2", priority="low")
    info = asked(world)
    assert [sum(wait.counts) for wait in info.waits] == [1, 0, 1] and info.waits[0].sum == 0.0


def test_every_refusal_is_counted_by_its_code(world):
    for n in range(5):
        world.submit(f"r{n}", priority="low")
    world.submit("gone", model="nope")
    world.ask("show", "q1", model="nope")
    world.d.on_client(b"c1", b"\xc1", world.now)
    info = asked(world)
    assert {code: count for code, count in info.refused.items() if count} == {"queue_full": 1, "model_not_found": 1}
    assert {code: count for code, count in info.refused_besides.items() if count} == {
        "model_not_found": 1, "invalid_request": 1}
    assert sum(info.refused.values()) == world.d.counters.rejected


def test_ends_and_what_is_left_add_up_to_what_was_admitted(world):
    for n in range(4):
        world.submit(f"r{n}", deadline_s=300 if n < 3 else 1)
    world.answer(b"w1", world.jobs_sent()[0])
    world.pass_time(2.0)
    world.fails(b"w1", world.jobs_sent()[1], "internal")
    info, d = asked(world), world.d
    left = d.admission.running_total + d.admission.queued_total
    assert sum(info.ended.values()) + left == sum(d.counters.admitted) == 4
    assert info.ended["queue_deadline"] == 1 == info.ended["internal"] and info.models[0].ended["error"] == 2


def test_embeddings_have_no_tokens():
    world = World(make_model("a", engine="mlx", embeddings="mean"))
    world.worker_up()
    world.submit("e", prompt=None, inputs=["one", "two"])
    job, more = world.jobs_sent()[0], jobs.More(vectors=[b"0000", b"0000"])
    world.worker_says(b"w1", jobs.Accept, job.job, job.attempt)
    world.worker_says(b"w1", jobs.Step, 0, [jobs.Item(job.job, job.attempt, 0, [], "", jobs.End("stop", 2, 0, 1.0, 0.0),
                                                      more)])
    info = asked(world)
    assert info.models[0].generation_tokens == 0 == info.models[0].queried_tokens and info.models[0].prompt_tokens == 2
    assert count_of(info, "time_to_first_token_seconds") == 0 == count_of(info, "request_generation_tokens")
    assert count_of(info, "e2e_request_latency_seconds") == 1


def test_what_a_relay_answers_is_no_models():
    world = World("a", relays=["ollama"], chain_task=("ollama",))
    identity = world.relay_up("ollama", ["a"])
    world.submit("r1")
    world.relay_says(identity, world.jobs_sent(identity)[0], "hello", " you")
    info = asked(world)
    assert info.ended["stop"] == 1 and info.models[0].ended["stop"] == 0
    assert count_of(info, "time_to_first_token_seconds") == 0 and sum(info.waits[1].counts) == 1


def test_many_answers_are_entered_without_being_asked(world):
    for n in range(ANSWERS_MAX):
        world.submit(f"r{n}")
        world.answer(b"w1", world.jobs_sent()[-1])
    assert world.d.measures.models["a"].answers == []
    assert count_of(asked(world), "e2e_request_latency_seconds") == ANSWERS_MAX


def test_models_come_and_go_with_the_configuration(world):
    world.submit("r1")
    world.answer(b"w1", world.jobs_sent()[0])
    world.d.take_config(make_config("a", "c"))
    info = asked(world)
    assert [(model.slug, model.ended["length"]) for model in info.models] == [("a", 1), ("c", 0)]
    assert all(len(model.histograms) == len(VLLM) for model in info.models)


def test_who_sees_which_models():
    world = World("a", make_model("b", audience="agents"), require_key=True)
    assert [model.name for model in asked(world, client=world.http(b"h")).models] == ["a", "b"]  # it names no name
    world.client_says(b"c1", {"type": "hello"})
    assert [model.name for model in asked(world).models] == ["a", "b"]  # whose stack it is
    world.client_says(b"c2", {"type": "hello", "secret": "wrong"})
    assert world.ask("metrics", "q", client=b"c2").code == "unauthorized"
    world = World("a", make_model("b", audience="agents"))
    world.client_says(b"c2", {"type": "hello", "secret": "wrong"})
    assert [model.name for model in asked(world, client=b"c2").models] == ["a"]
