"""Tables as text: aligned, wrapped in the last column only, and never cut."""

from gateway.cli.text_table import aligned

LINES = [["NAME", "STATE", "REASON"], ["tiny", "ready", "loaded for two requests that wait in class high"],
         ["a-longer-name", "down", ""]]


def test_in_a_pipe_each_line_is_one_line():
    assert list(aligned(LINES, None)) == [
        "NAME           STATE  REASON",
        "tiny           ready  loaded for two requests that wait in class high",
        "a-longer-name  down"]


def test_in_a_terminal_the_last_column_wraps_inside_itself():
    assert list(aligned(LINES, 50)) == [
        "NAME           STATE  REASON",
        "tiny           ready  loaded for two requests that",
        "                      wait in class high",
        "a-longer-name  down"]


def test_in_a_terminal_that_is_too_narrow_nothing_is_cut():
    assert list(aligned(LINES, 40)) == list(aligned(LINES, None))


def test_what_a_terminal_would_take_for_an_order_is_not_printed():
    [line] = aligned([["a", "x\x1b[2Jy\nz"]], None)
    assert line == "a  x [2Jy z"
