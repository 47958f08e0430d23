"""The overview as tables, or as cards where they are too wide."""

import pytest

from gateway.cli.ps_lines import HEADER, RELAY_HEADER, card, facts_of, lines_of
from tests.support.overviews import a_model, a_relay, an_overview


@pytest.mark.parametrize("width", [None, 160])
def test_models_and_relays_are_two_tables(width: int | None) -> None:
    header, phi, tiny, blank, relays, ollama = lines_of(an_overview(), width)
    assert (header.split(), relays.split(), blank) == (HEADER, RELAY_HEADER, "")
    assert phi.split()[:2] == ["phi", "ready"] and tiny.split()[1] == "down" and ollama.split()[2] == "closed"
    assert lines_of(an_overview(relays=[]), width) == [header, phi, tiny]


@pytest.mark.parametrize("width", [80, 40, 20, 1])
def test_a_narrow_terminal_gets_cards_that_leave_nothing_out(width: int) -> None:
    lines = lines_of(an_overview(models=[a_model(reason="evicted: " + "b waits " * 9)]), width)
    whole = " ".join(" ".join(lines).split())
    assert all(len(line) <= max(20, width) for line in lines)
    for fact in ("phi ready", "in use", "5.0 GiB of 6.0 GiB", "2 in flight", "42 tok/s", "pid 4711", "b waits b waits",
                 "relay-ollama ready", "breaker closed"):
        assert fact.replace(" ", "") in whole.replace(" ", "")


def test_a_card_hides_what_nobody_knows() -> None:
    line = a_model(state="unknown", pid=0, memory_bytes=0, share_bytes=0, context_length=0, in_flight=None, queued=None,
                   tokens_per_s=0.0, until="-", reason="")
    assert card(line, 40) == ["phi  unknown"] and facts_of(line) == []
    assert facts_of(a_relay(breaker="half_open"))[0] == "breaker half-open"
    assert card(a_model(reason="\x1b[2Jx"), 60)[-1] == "   [2Jx"


@pytest.mark.parametrize(("until", "fact"), [("now", "may go now"), ("for ever", "stays for ever"),
                                             ("4 min", "stays 4 min"), ("pinned", "pinned")])
def test_how_long_it_stays_reads_as_a_sentence(until: str, fact: str) -> None:
    assert facts_of(a_model(until=until))[0] == fact
