"""Contestants take their turns one at a time, in an order that moves on, and disturbed turns are named."""

from bench.rounds import Contestant, Turn, choose_busy, figures_of, measure_in_turn, order_of


def contestant(name, log):
    def measure(number):
        log.append((number, name))
        return f"{name}{number}"
    return Contestant(name, measure)


def test_each_is_measured_once_in_each_round_and_none_is_always_first(capsys):
    log = []
    turns = measure_in_turn([contestant(name, log) for name in "abc"], 3, [], lambda name, figures: f"{name}={figures}")
    assert log == [(0, "a"), (0, "b"), (0, "c"), (1, "b"), (1, "c"), (1, "a"), (2, "c"), (2, "a"), (2, "b")]
    assert figures_of(turns) == {"a": ["a0", "a1", "a2"], "b": ["b0", "b1", "b2"], "c": ["c0", "c1", "c2"]}
    told = capsys.readouterr()
    assert told.out == "", "the report alone goes to standard output"
    assert told.err.splitlines()[3] == "... round 2 of 3: b=b1"


def test_the_order_moves_on_by_one():
    assert ["".join(order_of("ab", number)) for number in range(3)] == ["ab", "ba", "ab"]


def test_only_disturbed_turns_are_named():
    turns = {"a": [Turn(None, 0.01, 0.5), Turn(None, 0.42, 0.5)], "b": [Turn(None, 0.0, 0.5), Turn(None, 0.02, 0.5)]}
    [sentence] = choose_busy(turns)
    assert sentence.endswith(": a (round 2)") and "42%" in sentence and "not to be trusted" in sentence
    assert choose_busy({"b": turns["b"]}) == []
    [sentence] = choose_busy({"a": [*turns["a"], Turn(None, 0.61, 0.5)]})
    assert sentence.endswith(": a (round 2, 3)") and "61%" in sentence, "the worst of them"
