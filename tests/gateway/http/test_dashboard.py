"""What the dashboard is told, from overviews and with a clock of its own."""

import json

import pytest

from control.decisions import Decision
from control.overview import overview
from control.states import Phase
from gateway.http.dashboard import (
    LONG_MAX,
    NAMES,
    RATES_MAX,
    SHORT_MAX,
    STEP_S,
    History,
    Sample,
    Sampler,
    first_event,
    merge,
    second_event,
    show,
    show_decision,
    unreadable,
)
from gateway.http.reserved import RESERVED, hiding
from tests.gateway.http.test_health import NOW_NS, row, snapshot
from tests.support.http_stack import make_config

AT_S = 1_000_000.0
TOML = """
[models."Tiny/Model"]
engine = "echo"
aliases = ["hers"]
[models.spy]
engine = "echo"
audience = "agents"
aliases = ["agent-007"]
"""


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path, TOML)


def shown_of(config, *rows, **given) -> dict:
    return show(overview(snapshot(*rows, **given), NOW_NS), config, hiding(config))


def sample(at_s: float = AT_S, **given) -> Sample:
    return Sample(**({"at_s": at_s, "used_percent": 50.0, "held_bytes": 100, "tokens_per_s": 2.0, "running": 1,
                      "queued": 0, "admitted": 3, "rates": {}} | given))


def past(count: int, *, every_s: float = 1.0, **given) -> History:
    history = History()
    for number in range(count):
        history.add(sample(AT_S + number * every_s, **given))
    return history


# -- who is named --------------------------------------------------------------------------------------------------


def test_a_model_has_the_name_of_the_configuration_and_a_key_that_stays(config):
    slug = config.models[0].slug
    [model] = shown_of(config, row(name=slug))["models"]
    assert (model["name"], model["key"]) == ("Tiny/Model", slug)
    [pulled] = shown_of(config, row(name="new"))["models"]
    assert (pulled["name"], pulled["key"]) == ("new", "new")


def test_a_model_that_is_reserved_is_named_to_nobody(config):
    shown = shown_of(config, row(name="spy", reason="spy was loaded"),
                     row(1, config.models[0].slug, reason="waits for spy and agent-007"), warning="spy is stuck")
    decision = show_decision(Decision("load", "spy", "spy was loaded, AGENT-007 too", ""), AT_S, config, hiding(config))
    event = first_event(second_event(shown, Sampler().sample(shown, AT_S), [decision]), past(3), config, "1")
    text = json.dumps(event)
    assert "spy" not in text and "agent-007" not in text.lower()
    assert shown["models"][0]["name"] == RESERVED == event["decisions"][0]["model"]
    assert shown["models"][1]["reason"] == f"waits for {RESERVED} and {RESERVED}"
    assert shown["models"][0]["share_bytes"], "its memory is part of the sum"


def test_two_reserved_models_are_two(tmp_path):
    config = make_config(tmp_path, TOML + '[models.mole]\nengine = "echo"\naudience = "agents"\n')
    models = shown_of(config, row(name="spy"), row(1, "mole"))["models"]
    assert len({model["key"] for model in models}) == len(models)


def test_a_decision_names_the_model_as_the_configuration_does(config):
    decision = Decision("load", config.models[0].slug, "text", "id-1")
    assert show_decision(decision, 5.0, config, str) == {
        "at_s": 5.0, "kind": "load", "model": "Tiny/Model", "text": "text", "request": "id-1"}


# -- samples -------------------------------------------------------------------------------------------------------


def test_a_sample_adds_up_what_all_models_do(config):
    shown = shown_of(config, row(name="a", tokens_per_ks=2500), row(1, "b", tokens_per_ks=500), row(2, "c"),
                     gateway={"running_high": 1, "running_low": 2, "queued_medium": 4, "relay_running": 1})
    found = Sampler().sample(shown, AT_S)
    assert (found.tokens_per_s, found.running, found.queued, found.used_percent) == (3.0, 4, 4, 75.0)
    assert found.rates == {"a": 2.5, "b": 0.5}
    assert found.held_bytes == 3 * 123


def test_requests_are_counted_since_the_sample_before_also_by_a_gateway_that_is_new(config):
    sampler = Sampler()

    def admitted(count: int) -> int | None:
        return sampler.sample(shown_of(config, gateway={"admitted_high": count}), AT_S).admitted

    assert [admitted(count) for count in (100, 103, 103, 2, 5)] == [0, 3, 0, 2, 3]


def test_what_is_not_known_is_none(config):
    found = Sampler().sample(unreadable("there is no table"), AT_S)
    assert found == Sample(AT_S, None, None, None, None, None, None, {})
    silent = snapshot(row())
    shown = show(overview(silent._replace(control=None, gateway=None), NOW_NS), config, str)
    found = Sampler().sample(shown, AT_S)
    assert (found.used_percent, found.running, found.admitted) == (None, None, None)
    assert unreadable("x")["models"] is None, "not known is not the same as none"


def test_merged_samples_keep_peaks_add_requests_and_average_the_rest():
    found = merge([sample(AT_S, queued=9, tokens_per_s=1.0), sample(AT_S + 1, used_percent=None, tokens_per_s=2.0)])
    assert found == Sample(AT_S, 50.0, 100, 1.5, 1, 9, 6, {})
    assert merge([sample(running=None)]).running is None


# -- history -------------------------------------------------------------------------------------------------------


def test_the_history_is_bounded_and_covers_the_hour():
    history = past(2 * LONG_MAX * STEP_S)
    told = history.describe()
    assert len(told["short"]) == SHORT_MAX and len(told["long"]) == LONG_MAX + 1
    assert told["short"][-1][0] - told["long"][0][0] >= LONG_MAX * STEP_S - STEP_S
    times = [line[0] for line in told["long"]]
    assert times == sorted(times)


def test_what_came_in_the_hour_is_told_whole():
    history = past(95)
    admitted = NAMES.index("admitted")
    assert sum(line[admitted] for line in history.describe()["long"]) == 95 * sample().admitted


def test_a_clock_that_is_set_back_takes_its_future_away():
    history = past(100)
    history.add(sample(AT_S + 50))
    for rows in (history.describe()["short"], history.describe()["long"]):
        times = [line[0] for line in rows]
        assert times == sorted(set(times)) and times[-1] <= AT_S + 50


def test_after_a_sleep_there_is_a_gap_and_no_invention():
    history = past(20)
    history.add(sample(AT_S + 3000))
    assert [line[0] for line in history.describe()["long"]][-2:] == [AT_S + 10, AT_S + 3000]


def test_rates_are_told_of_models_that_answered_of_late():
    history = past(SHORT_MAX, rates={"old": 1.0})
    for number in range(RATES_MAX):
        history.add(sample(AT_S + SHORT_MAX + number, rates={"new": 2.0} if number else {}))
    rates = history.describe()["rates"]
    assert list(rates) == ["new"] and len(rates["new"]) == RATES_MAX and rates["new"][:2] == [0.0, 2.0]


def test_the_events_have_what_the_page_draws(config):
    shown = shown_of(config, row(name="a", worker=Phase.LOADING))
    second = second_event(shown, sample(), [])
    assert second["sample"] == sample()[:-1] and second["decisions"] == [] and "history" not in second
    first = first_event(second, past(2), config, "1.2")
    assert first["history"]["names"] == NAMES and len(first["history"]["short"]) == 2
    assert first["limits"]["max_running"] == config.max_running and first["version"] == "1.2"
    assert {"remarks", "memory", "queue", "models", "relays", "at_s"} <= set(first)
