"""What `warden top` draws, from made-up overviews: nothing of it is ever wider or longer than the terminal."""

import pytest

from control.decisions import EVICTION, LOAD, Decision
from gateway.cli.screen import rendered
from gateway.cli.top_bars import ASCII, BLOCKS, choose_marks, memory_bar, share_bar
from gateway.cli.top_history import SAMPLES_MAX, TOTAL, History, sparkline
from gateway.cli.top_view import Told, View, draw
from tests.support.overviews import a_memory, a_model, a_queue, a_relay, an_overview, silent_overview

LONG = "waits for room, since " + "others answer and may not go " * 5
DECISIONS = [Told("10:00:01", Decision(LOAD, "phi", "phi is loaded", "")),
             Told("10:00:02", Decision(EVICTION, "tiny", f"tiny {LONG}", ""))]


def view(seen: dict | None, **given) -> View:
    history = History()
    for second in range(3):
        history.see(seen, second)
    return View(seen, "nothing runs", history, DECISIONS, (85.0, 95.0, 98.0), "10:00:03", 100, 30, BLOCKS)._replace(
        **given)


def text(view: View) -> str:
    return "\n".join(line.plain for line in draw(view))


def test_a_wide_view_shows_all_of_it() -> None:
    shown = text(view(an_overview(remarks=["warning: look here"]), columns=140))
    for words in ("1 of 2 models ready", "! warning: look here", "62.0 % of 36.0 GiB, normal (85, 95, 98)",
                  "9.0 GiB of 12.0 GiB given out", "Running  high   1  medium   2  low   0  relays   1", "Tokens/s 50",
                  "MEMORY/SHARE", "█phi", "5.0/6.0 GiB", "in use", "loaded for 2 that wait", "relay-ollama",
                  "10:00:01 load     phi is loaded", "10:00:02 eviction tiny waits for room"):
        assert words in shown


@pytest.mark.parametrize("columns", [1, 20, 40, 80])
@pytest.mark.parametrize("lines", [1, 6, 15, 24, 60])
@pytest.mark.parametrize("seen", [
    None, silent_overview(), an_overview(models=[], relays=[]),
    an_overview(models=[a_model(f"m{n}", reason=LONG, state="leak_suspected") for n in range(20)],
                remarks=[LONG, LONG], memory=a_memory(level="emergency", used_percent=None, leaked_bytes=2**31))])
def test_it_fits_any_terminal(columns: int, lines: int, seen: dict | None) -> None:
    name = seen["models"][-1]["name"] if seen and seen["models"] else ""
    shown = view(seen, columns=columns, lines=lines, selected=name)
    for each in (shown, shown._replace(help=True), shown._replace(paused=True, marks=ASCII)):
        drawn = draw(each)
        assert 0 < len(drawn) <= lines
        assert all(len(line) <= columns for line in rendered(drawn, columns, colour=False))


@pytest.mark.parametrize(("columns", "there", "gone"), [
    (120, ("REASON", "LAST MINUTE"), ()), (80, ("MEMORY/SHARE", "UNTIL", "LAST MINUTE"), ("REASON",)),
    (60, ("UNTIL",), ("LAST MINUTE",)), (40, ("MODEL", "STATE", "TOK/S"), ("MEMORY/SHARE", "REASON"))])
def test_columns_go_where_there_is_no_room(columns: int, there: tuple, gone: tuple) -> None:
    shown = text(view(an_overview(), columns=columns))
    assert all(word in shown for word in there) and not any(word in shown for word in gone)


def test_what_the_table_has_no_room_for_stands_below_it_for_the_selected_one() -> None:
    shown = text(view(an_overview(), columns=40, lines=40, selected="phi"))
    whole = " ".join(shown.split())
    assert "›█phi" in shown and "phi: loaded for 2 that wait; in use, 5.0 GiB of 6.0 GiB" in whole


def test_many_models_scroll_around_the_selected_one() -> None:
    seen = an_overview(models=[a_model(f"m{n:02}") for n in range(40)])
    for name, others in (("m00", "m01"), ("m20", "m19"), ("relay-ollama", "m39")):
        shown = text(view(seen, lines=24, selected=name))
        assert f"›{'█▓▒'[int(name[1:]) % 3] if name[1:].isdigit() else ' '}{name}" in shown and others in shown
        assert "more: up and down" in shown and "Decisions" in shown


def test_what_nobody_knows_is_said_to_be_unknown() -> None:
    shown = text(view(silent_overview() | {"models": []}))
    assert "control is silent" in shown and "not known: the gateway is silent" in shown
    assert "nothing runs" in text(view(None)) and "phi is loaded" in text(view(None))
    assert "not read yet" in text(view(an_overview(memory=a_memory(used_percent=None))))


def test_states_that_need_a_word_more_have_it() -> None:
    shown = text(view(an_overview(models=[a_model(state="loading", load_percent=42.0)],
                                  relays=[a_relay(breaker="half_open")], queue=a_queue())))
    assert "loading 42 %" in shown and "ready (half-open)" in shown


def test_nothing_in_a_reason_is_an_order_or_markup() -> None:
    seen = an_overview(models=[a_model(reason="\x1b[2J[bold]x[/]")], remarks=["\x1b]0;x\x07[red]y"])
    drawn = rendered(draw(view(seen, columns=160, selected="phi")), 160, colour=False)
    assert not any("\x1b" in line or "\x07" in line for line in drawn)
    assert "[bold]x[/]" in "\n".join(drawn) and "[red]y" in "\n".join(drawn)


def test_bars_are_exact_and_models_differ_without_colour() -> None:
    assert memory_bar(50, "normal", (85.0, 95.0), 20, ASCII).plain == "##########.......|.|"
    assert memory_bar(100, "critical", (85.0,), 10, ASCII).plain == "#" * 10
    shares = [(3, "red", 0), (0, "red", 1), (3, "blue", 2)]
    assert share_bar(shares, 12, 12, ASCII).plain == "###+++......"
    assert len(share_bar([(5, "", 0)] * 7, 12, 13, ASCII).plain) == 13 and share_bar([], 0, 4, ASCII).plain == "...."
    assert choose_marks("utf-8") is BLOCKS and choose_marks("latin-1") is ASCII and choose_marks(None) is ASCII


def test_the_last_minute_is_kept_and_no_more() -> None:
    history = History()
    for second in range(2 * SAMPLES_MAX):
        history.see(an_overview(models=[a_model(tokens_per_s=float(second))], relays=[]), second)
        history.see(an_overview(), second + 0.5)  # too soon
    assert history.of("phi") == [float(second) for second in range(SAMPLES_MAX, 2 * SAMPLES_MAX)]
    assert history.of(TOTAL)[-1] == 2 * SAMPLES_MAX - 1 and history.of("unknown") == []
    for second in range(2 * SAMPLES_MAX, 4 * SAMPLES_MAX):
        history.see(None, second)
    assert set(history.series) == {TOTAL} and not any(history.of(TOTAL))


@pytest.mark.parametrize(("values", "columns", "line"), [
    ([], 5, ""), ([1.0], 0, ""), ([0.0, 0.0], 5, "     "), ([0.0, 7.0], 60, "#".rjust(60)),
    ([7.0] * 6 + [3.5] * 6, 10, "        #-"), ([1.0] * 60, 10, "#" * 10)])
def test_a_sparkline_is_as_wide_as_asked(values: list, columns: int, line: str) -> None:
    assert sparkline(values, columns, " -#") == line
